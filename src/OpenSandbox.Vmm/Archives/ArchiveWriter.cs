using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Archives;

internal sealed class ArchiveWriter : IAsyncDisposable
{
    /// <summary>Begins an archive on a stream, which stays the caller's.</summary>
    internal static Task<ArchiveWriter> StartAsync(Stream destination, ReadOnlyMemory<byte> manifest, CancellationToken cancellationToken) =>
        throw new NotSupportedException();

    /// <summary>Adds a file of which <paramref name="length"/> bytes count; holes are not read.</summary>
    internal Task<ArchiveEntry> AddAsync(string name, SafeFileHandle file, long length, CancellationToken cancellationToken) =>
        throw new NotSupportedException();

    /// <summary>Adds what a stream has, to its end.</summary>
    internal Task<ArchiveEntry> AddAsync(string name, Stream content, CancellationToken cancellationToken) => throw new NotSupportedException();

    internal Task<ArchiveSummary> FinishAsync(CancellationToken cancellationToken) => throw new NotSupportedException();

    public ValueTask DisposeAsync() => throw new NotSupportedException();
}
