namespace OpenSandbox.Vmm;

/// <summary>One thing that was removed, or not and why.</summary>
/// <param name="Kind">
/// What it is: <c>sandbox</c>, <c>snapshot</c>, <c>layer</c>, <c>leftover</c>, <c>runtime</c>, <c>golden</c>, <c>image</c> or <c>machine</c>.
/// </param>
/// <param name="Path">Where it is, or was.</param>
/// <param name="Reason">Why it went or stayed, for people.</param>
/// <param name="Bytes">Bytes that it took on the disk.</param>
public sealed record PrunedEntry(string Kind, string Path, string Reason, long Bytes);
