namespace OpenSandbox.Vmm.Snapshots;

/// <summary>What a memory file holds.</summary>
/// <param name="Bytes">Length of the stored file.</param>
/// <param name="Sha256">SHA-256 of the stored file, lower-case hexadecimal.</param>
/// <param name="UncompressedBytes">Length of the content of its LZ4 frame.</param>
/// <param name="DataPages">Pages with content.</param>
/// <param name="ZeroPages">Pages that are all zero, which take no room.</param>
internal readonly record struct MemoryFileSummary(long Bytes, string Sha256, long UncompressedBytes, long DataPages, long ZeroPages)
{
    /// <summary>All pages that the file replaces.</summary>
    public long Pages => DataPages + ZeroPages;
}
