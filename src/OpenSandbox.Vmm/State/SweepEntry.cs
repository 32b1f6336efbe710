namespace OpenSandbox.Vmm.State;

/// <summary>Something that the sweeper removed, or did not remove and why.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Path">Where it is, or was.</param>
/// <param name="Reason">Why it went or stayed, for people.</param>
/// <param name="Bytes">Bytes that it took on the disk.</param>
internal sealed record SweepEntry(SweepKind Kind, string Path, string Reason, long Bytes = 0);
