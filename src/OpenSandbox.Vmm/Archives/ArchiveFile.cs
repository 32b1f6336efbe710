using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.Archives;

/// <summary>Archives as files.</summary>
internal static class ArchiveFile
{
    /// <summary>
    /// Writes an archive under a temporary name beside its own, and gives it that name when all of it is on disk. After a crash there is the
    /// old file, or none, or the new one, and perhaps a name that ends in <see cref="DurableFile.TemporaryEnding"/>.
    /// </summary>
    /// <param name="path">The file; one that exists is replaced. Mode 0600.</param>
    /// <param name="manifest">The manifest.</param>
    /// <param name="progress">Gets the bytes written so far; may be <see langword="null"/>.</param>
    /// <param name="addEntries">Adds the entries.</param>
    /// <param name="cancellationToken">Stops until the file has its name; what was written is removed then.</param>
    /// <exception cref="IOException">A step failed, for instance because the disk is full.</exception>
    internal static async Task<ArchiveSummary> PublishAsync(
        string path,
        ReadOnlyMemory<byte> manifest,
        IProgress<long>? progress,
        Func<ArchiveWriter, CancellationToken, Task> addEntries,
        CancellationToken cancellationToken)
    {
        path = Path.GetFullPath(path);
        string temporary = DurableFile.TemporaryName(path);
        ArchiveSummary summary;
        try
        {
            using SafeFileHandle file = Create(temporary);
            var stream = new FileStream(file, FileAccess.Write, bufferSize: 0);
            await using (stream.ConfigureAwait(false))
            {
                using ArchiveWriter writer = await ArchiveWriter
                    .StartAsync(ProgressStream.Over(stream, progress), manifest, cancellationToken).ConfigureAwait(false);
                await addEntries(writer, cancellationToken).ConfigureAwait(false);
                summary = await writer.FinishAsync(cancellationToken).ConfigureAwait(false);
                Fault.Point(FaultPoints.ExportWritten);

                // It may take as long as the disk needs for all of it.
                await Task.Run(() => DurableFile.Sync(file, temporary), cancellationToken).ConfigureAwait(false);
            }

            cancellationToken.ThrowIfCancellationRequested();
            Fault.Point(FaultPoints.ExportSynced);
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        Fault.Point(FaultPoints.ExportRenamed);
        DurableFile.SyncDirectory(Path.GetDirectoryName(path)!);
        return summary;
    }

    private static SafeFileHandle Create(string path)
    {
        SafeFileHandle file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, FileOptions.None, preallocationSize: 0);
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return file;
    }
}
