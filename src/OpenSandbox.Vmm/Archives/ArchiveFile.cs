namespace OpenSandbox.Vmm.Archives;

internal static class ArchiveFile
{
    /// <summary>Writes an archive under a temporary name beside <paramref name="path"/> and publishes it durably once it is finished.</summary>
    internal static Task<ArchiveSummary> PublishAsync(
        string path, ReadOnlyMemory<byte> manifest, Func<ArchiveWriter, CancellationToken, Task> addEntries, CancellationToken cancellationToken) =>
        throw new NotSupportedException();
}
