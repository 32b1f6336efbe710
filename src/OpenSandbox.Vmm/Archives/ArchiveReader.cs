using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Archives;

internal sealed class ArchiveReader : IAsyncDisposable
{
    /// <summary>Reads and checks the header and the manifest.</summary>
    internal static Task<ArchiveReader> OpenAsync(Stream source, ArchiveLimits limits, CancellationToken cancellationToken) =>
        throw new NotSupportedException();

    internal ReadOnlyMemory<byte> Manifest => throw new NotSupportedException();

    /// <summary>The name of the next entry; null when there are no more and the archive has been checked to its end.</summary>
    internal Task<string?> NextAsync(CancellationToken cancellationToken) => throw new NotSupportedException();

    /// <summary>Writes the current entry into an empty file; zero blocks become holes.</summary>
    internal Task<ArchiveEntry> ExtractAsync(SafeFileHandle target, CancellationToken cancellationToken) => throw new NotSupportedException();

    /// <summary>The whole archive; only when <see cref="NextAsync"/> has returned null.</summary>
    internal ArchiveSummary Summary => throw new NotSupportedException();

    public ValueTask DisposeAsync() => throw new NotSupportedException();
}
