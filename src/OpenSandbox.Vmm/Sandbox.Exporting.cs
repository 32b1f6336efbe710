using OpenSandbox.Vmm.Archives;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>Writing the hibernated sandbox into an archive.</content>
public sealed partial class Sandbox
{
    /// <summary>
    /// Writes the hibernated sandbox into a file, from which <see cref="SandboxHost.ImportAsync(string, ImportOptions?, CancellationToken)"/> makes
    /// it again, here or elsewhere, as often as one likes. It stays hibernated. The images that its disks began with are not in the file: they
    /// must be where it is imported.
    /// </summary>
    /// <param name="path">The file, mode 0600. It appears when it is complete and durable; one that exists is replaced.</param>
    /// <param name="options">Default: see <see cref="ExportOptions"/>.</param>
    /// <param name="cancellationToken">Stops; nothing is left of the file.</param>
    /// <returns>What was written.</returns>
    /// <remarks>
    /// It takes as much room beside the state directory's layers, for a while, as one of its disks has changes, and about 10 MiB of memory.
    /// </remarks>
    /// <exception cref="SandboxStateException">It is not hibernated: call <see cref="HibernateAsync"/> first.</exception>
    /// <exception cref="SandboxConflictException">Another operation on it is under way.</exception>
    /// <exception cref="SandboxSnapshotException">What was saved of it is missing or damaged; no file is left.</exception>
    /// <exception cref="SandboxOperationException">The file cannot be written, or a disk is full; no file is left.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<SandboxExport> ExportAsync(string path, ExportOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        options ??= ExportOptions.Default;
        options.Validate();
        return OperateAsync(
            "exporting",
            token => ExportNowAsync(
                options,
                (source, stop) => ArchiveFile.PublishAsync(
                    path, ManifestFile.Encode(source.Manifest), options.Progress, (writer, add) => source.WriteAsync(writer, _host.ScratchDirectory, add), stop),
                token),
            cancellationToken);
    }

    /// <summary>As the other, to any stream, front to back.</summary>
    /// <param name="destination">Stays the caller's. What has been written to it is worth nothing unless this returns.</param>
    /// <param name="options">Default: see <see cref="ExportOptions"/>.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <returns>What was written. The stream has been flushed.</returns>
    /// <inheritdoc cref="ExportAsync(string, ExportOptions?, CancellationToken)"/>
    public Task<SandboxExport> ExportAsync(Stream destination, ExportOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(destination);
        options ??= ExportOptions.Default;
        options.Validate();
        return OperateAsync(
            "exporting",
            token => ExportNowAsync(
                options,
                async (source, stop) =>
                {
                    Stream counted = ProgressStream.Over(destination, options.Progress);
                    using ArchiveWriter writer = await ArchiveWriter
                        .StartAsync(counted, ManifestFile.Encode(source.Manifest), stop).ConfigureAwait(false);
                    await source.WriteAsync(writer, _host.ScratchDirectory, stop).ConfigureAwait(false);
                    return await writer.FinishAsync(stop).ConfigureAwait(false);
                },
                token),
            cancellationToken);
    }

    private async Task<SandboxExport> ExportNowAsync(
        ExportOptions options, Func<ExportSource, CancellationToken, Task<ArchiveSummary>> write, CancellationToken cancellationToken)
    {
        if (State != SandboxState.Hibernated || _manifest is not { SnapshotId: string snapshotId } manifest)
        {
            throw Volatile.Read(ref _exit) is SandboxExit exit
                ? new SandboxLostException(Id, exit)
                : new SandboxStateException(Id, State, SandboxState.Hibernated, "hibernate it first");
        }

        long started = Options.TimeProvider.GetTimestamp();
        try
        {
            using ExportSource source = await _host
                .OpenForExportAsync(manifest, snapshotId, options.Kind == CheckpointKind.Full, cancellationToken).ConfigureAwait(false);
            ArchiveSummary written = await write(source, cancellationToken).ConfigureAwait(false);
            TimeSpan duration = Options.TimeProvider.GetElapsedTime(started);
            VmmLog.SandboxExported(_host.Logger, Id, written.Bytes, (long)duration.TotalMilliseconds);
            return new SandboxExport(written.Bytes, written.Sha256, source.Memory is not null, duration);
        }
        catch (UnauthorizedAccessException refused)
        {
            throw new SandboxOperationException(
                SandboxErrorCode.PermissionDenied, Id, Interop.Errno.EACCES, $"sandbox {Id}: exporting: {refused.Message}", refused);
        }
        catch (Exception failure) when (failure is not (SandboxException or OperationCanceledException))
        {
            throw await ExplainAsync(failure, "exporting").ConfigureAwait(false);
        }
    }
}
