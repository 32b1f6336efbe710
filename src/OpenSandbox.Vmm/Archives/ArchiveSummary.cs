namespace OpenSandbox.Vmm.Archives;

/// <summary>A whole archive.</summary>
/// <param name="Bytes">Its length.</param>
/// <param name="Sha256">The hash that its trailer ends with: over everything before it. Lower-case hexadecimal.</param>
/// <param name="Entries">Its entries, in order.</param>
internal sealed record ArchiveSummary(long Bytes, string Sha256, IReadOnlyList<ArchiveEntry> Entries);
