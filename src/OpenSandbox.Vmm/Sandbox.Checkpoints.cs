using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Snapshots;
using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Telemetry;

namespace OpenSandbox.Vmm;

/// <content>Checkpoints of the running sandbox, and going back to one.</content>
public sealed partial class Sandbox
{
    /// <summary>
    /// Saves the running sandbox, with all its memory or its disks alone, as it is at one instant. It stands still for milliseconds and goes
    /// on; the saving is done while it runs, and is durable when this returns.
    /// </summary>
    /// <param name="options">Default: see <see cref="CheckpointOptions"/>.</param>
    /// <param name="cancellationToken">Nothing is saved, and the sandbox runs on.</param>
    /// <returns>The checkpoint.</returns>
    /// <exception cref="SandboxOperationException">The guest, QEMU or the host's disk refused; nothing was saved, and the sandbox runs on.</exception>
    /// <exception cref="SandboxTimeoutException">The guest or QEMU did not answer; nothing was saved.</exception>
    /// <exception cref="SandboxConflictException">Another operation on it is under way.</exception>
    /// <exception cref="SandboxStateException">It does not run.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<SandboxCheckpoint> CheckpointAsync(CheckpointOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= CheckpointOptions.Default;
        options.Validate();
        EnsureRunning();
        return Operation.Checkpoint.RunAsync(
            Id, () => OperateAsync("making a checkpoint", token => CheckpointNowAsync(options, token), cancellationToken));
    }

    /// <summary>The checkpoints of this sandbox, oldest first.</summary>
    /// <returns>A snapshot of the list.</returns>
    /// <exception cref="SandboxSnapshotException">The state directory cannot be read.</exception>
    public IReadOnlyList<SandboxCheckpoint> ListCheckpoints() => _host.ListCheckpoints(Id);

    /// <summary>
    /// Takes the sandbox back to one of its checkpoints: memory, processes and disks are as they were then, and what came later is lost. It may
    /// run or be hibernated; if the checkpoint cannot be used it goes on as it was.
    /// </summary>
    /// <param name="checkpointId">The checkpoint.</param>
    /// <param name="options">Default: see <see cref="WakeOptions"/>.</param>
    /// <param name="cancellationToken">Until the checkpoint's machine is up: then the sandbox goes on as it was.</param>
    /// <returns>How it came back.</returns>
    /// <exception cref="SandboxSnapshotException">The checkpoint is missing, damaged, or of another sandbox.</exception>
    /// <exception cref="SandboxStartException">Its VM or guest failed.</exception>
    /// <exception cref="SandboxConflictException">Another operation on it is under way.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<SandboxWake> RestoreAsync(string checkpointId, WakeOptions? options = null, CancellationToken cancellationToken = default)
    {
        SandboxHost.ValidateCheckpointId(checkpointId);
        options ??= WakeOptions.Default;
        options.Validate();
        return Operation.Restore.RunAsync(
            Id, () => OperateAsync("going back to a checkpoint", token => RestoreNowAsync(checkpointId, options, token), cancellationToken));
    }

    private async Task<SandboxCheckpoint> CheckpointNowAsync(CheckpointOptions options, CancellationToken cancellationToken)
    {
        const string what = "making a checkpoint";
        using SandboxCut cut = await CutAsync(what, options.Kind == CheckpointKind.Full, cancellationToken).ConfigureAwait(false);
        try
        {
            SnapshotManifest saved = await SaveCutAsync(cut, options, cancellationToken).ConfigureAwait(false);
            _host.DigestSoon(saved.Id, cut.Disks.Share());
            _host.RetainCheckpoints(Id, options.KeepLast, saved.Id);
            TellAtEnd(SandboxEventKind.Checkpointed, new SandboxEventDetails { CheckpointId = saved.Id });
            VmmLog.CheckpointMade(_host.Logger, Id, saved.Id, (long)cut.Stopped.TotalMilliseconds);
            return new SandboxCheckpoint(saved) { Stopped = cut.Stopped, StoodStill = cut.StoodStill };
        }
        catch (Exception failure) when (failure is not (SandboxException or OperationCanceledException))
        {
            throw await ExplainAsync(failure, what).ConfigureAwait(false);
        }
    }

    private async Task<SnapshotManifest> SaveCutAsync(SandboxCut cut, CheckpointOptions options, CancellationToken cancellationToken)
    {
        using StateLease lease = await _host.Store.EnterAsync(cancellationToken).ConfigureAwait(false);
        return await Task.Run(
            () =>
            {
                Fault.Point(FaultPoints.CheckpointCut);
                using SnapshotStaging staging = _host.Store.StageSnapshot(lease);
                SnapshotMemory? memory = cut.Memory is null ? null : SnapshotFiles.Write(staging, cut.Golden.Shape, cut.Memory);
                Fault.Point(FaultPoints.CheckpointWritten);
                cancellationToken.ThrowIfCancellationRequested();
                DiskChains chains = Chains.Save(cut.Disks, _host.Store, lease);
                Fault.Point(FaultPoints.CheckpointLinked);
                SandboxRecord record = SandboxRecord.From(Spec, LimitsRecord.From(cut.Limits), Network.Policy);
                SnapshotManifest manifest = _host.DescribeSnapshot(
                    staging.Id, SnapshotKind.Checkpoint, Id, options.Name, cut.Golden, memory, chains, record) with
                {
                    Retained = options.Retained,
                    Expiry = DescribeExpiry(),
                };
                staging.Publish(manifest);
                Fault.Point(FaultPoints.CheckpointPublished);
                return manifest;
            },
            CancellationToken.None).ConfigureAwait(false);
    }

    private async Task<SandboxWake> RestoreNowAsync(string checkpointId, WakeOptions options, CancellationToken cancellationToken)
    {
        if (State is not (SandboxState.Running or SandboxState.Paused or SandboxState.Hibernated))
        {
            throw NotRunning();
        }

        long started = Options.TimeProvider.GetTimestamp();
        try
        {
            using StateLease lease = await _host.Store.EnterAsync(cancellationToken).ConfigureAwait(false);
            using SavedSandbox saved = await _host.OpenSavedAsync(checkpointId, null, cancellationToken).ConfigureAwait(false);
            if (saved.Manifest.SandboxId != Id)
            {
                throw new SandboxSnapshotException(
                    Id, $"checkpoint {checkpointId} cannot be used", [$"it is of sandbox {saved.Manifest.SandboxId}; fork it instead"]);
            }

            // The new machine is up before the old one is given up.
            (SandboxRun run, SandboxLimits limits, IReadOnlyList<string> reasons) = await _host
                .CountingAsync(() => _host.StartSavedAsync(
                    Id, Spec, saved, renewIdentity: false, options, _host.NewLayersFor(Spec, lease), cancellationToken))
                .ConfigureAwait(false);
            Fault.Point(FaultPoints.RestoreStarted);
            string? slept = _manifest?.SnapshotId;
            try
            {
                await RecordRunAsync(run, limits, lease, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception failure) when (failure is not StateUncertainException)
            {
                await run.Machine.DisposeAsync().ConfigureAwait(false);
                run.Disks.Dispose();
                _host.Left();
                throw;
            }

            Fault.Point(FaultPoints.RestoreCommitted);
            SandboxRun? old = Volatile.Read(ref _run);
            Enter(SandboxState.Waking);
            if (old is not null)
            {
                old.RequestEnd(null);
                await old.Ended.ConfigureAwait(false);
            }

            _pause = null;
            Begin(run, limits);
            if (slept is not null && IsDetached)
            {
                _host.DeleteReplaced(slept);
            }

            var result = new SandboxWake(run.FromMemory, reasons, Options.TimeProvider.GetElapsedTime(started));
            TellBack(SandboxEventKind.Restored, result, checkpointId);
            VmmLog.SandboxRestored(_host.Logger, Id, checkpointId, run.FromMemory, (long)result.Duration.TotalMilliseconds);
            return result;
        }
        catch (Exception failure) when (failure is not (SandboxException or OperationCanceledException))
        {
            throw await ExplainAsync(failure, "going back to a checkpoint").ConfigureAwait(false);
        }
    }
}
