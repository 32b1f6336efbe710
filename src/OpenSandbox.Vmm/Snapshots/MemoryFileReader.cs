using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>Reads memory files. Everything in them is checked: the file may have been damaged, or made by someone else.</summary>
internal static class MemoryFileReader
{
    /// <summary>Hands every page to a target, on the calling thread. Holds about 3 MiB, whatever the file says.</summary>
    /// <param name="file">Open for reading; stays the caller's.</param>
    /// <param name="length">How long the file must be, bytes.</param>
    /// <param name="layout">The regions of the guest that the pages are for. No page outside of them reaches the target.</param>
    /// <param name="sha256">What the file's SHA-256 must be, hexadecimal, computed in the same pass; <see langword="null"/> to leave it out.</param>
    /// <param name="target">Gets the pages.</param>
    /// <param name="cancellationToken">Stops between two batches.</param>
    /// <returns>What the file holds; <see cref="MemoryFileSummary.Sha256"/> is empty if it was left out.</returns>
    /// <exception cref="MemoryFileException">The file is damaged or another. What the target has got by then is worth nothing.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    internal static MemoryFileSummary Read(
        SafeFileHandle file, long length, MemoryFileLayout layout, string? sha256, IMemoryTarget target, CancellationToken cancellationToken)
    {
        using var input = new MemoryFileInput(file, length, hashed: sha256 is not null);
        using var decoder = new MemoryFileDecoder(input, layout, target);
        MemoryFileSummary summary = decoder.Run(cancellationToken);
        if (sha256 is not null && !string.Equals(summary.Sha256, sha256, StringComparison.OrdinalIgnoreCase))
        {
            throw new MemoryFileException($"its SHA-256 is {summary.Sha256} where {sha256} was expected");
        }

        return summary;
    }

    /// <summary>Reads a whole file for its checks alone, on the thread pool.</summary>
    /// <inheritdoc cref="Read"/>
    internal static Task<MemoryFileSummary> VerifyAsync(
        SafeFileHandle file, long length, MemoryFileLayout layout, string? sha256, CancellationToken cancellationToken) =>
        Task.Run(() => Read(file, length, layout, sha256, NoTarget.Instance, cancellationToken), cancellationToken);

    private sealed class NoTarget : IMemoryTarget
    {
        internal static NoTarget Instance { get; } = new();

        public void Write(MemoryFileRegion region, long offset, ReadOnlySpan<byte> data)
        {
        }

        public void WriteBatch(MemoryFileRegion region, ReadOnlySpan<MemoryFileRun> runs, ReadOnlySpan<byte> buffer)
        {
        }
    }
}
