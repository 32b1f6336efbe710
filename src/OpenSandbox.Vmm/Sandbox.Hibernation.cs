using Microsoft.Extensions.Logging;
using OpenSandbox.Qmp;
using OpenSandbox.Vmm.Compression;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Snapshots;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>Putting the sandbox away with all its memory, and getting it back.</content>
public sealed partial class Sandbox
{
    private const string Hibernating = "hibernating";

    private SandboxLock? _lock; // once there is a manifest
    private SandboxManifest? _manifest;
    private Task<SandboxWake>? _waking;

    /// <summary>
    /// Puts the sandbox away: its memory, with every process in it, and its disks are saved as they are at one instant, durably, and its VM is
    /// ended. From then on it takes neither memory nor CPU, and survives this process and a restart of the machine.
    /// </summary>
    /// <param name="cancellationToken">Until the saving is complete: then the sandbox runs on.</param>
    /// <returns>What was saved. A sandbox that is hibernated already is left as it is.</returns>
    /// <remarks>
    /// Calls that are under way end with a <see cref="SandboxStateException"/>. Connections of the guest's network are reset, on both sides.
    /// </remarks>
    /// <exception cref="SandboxOperationException">The guest, QEMU or the host's disk refused; the sandbox runs on and nothing was saved.</exception>
    /// <exception cref="SandboxTimeoutException">The guest or QEMU did not answer; the sandbox runs on and nothing was saved.</exception>
    /// <exception cref="SandboxConflictException">Another operation on it is under way.</exception>
    /// <exception cref="SandboxStateException">It does not run.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<SandboxHibernation> HibernateAsync(CancellationToken cancellationToken = default) =>
        HibernateMeasuredAsync(expired: false, () => OperateAsync(Hibernating, HibernateNowAsync, cancellationToken));

    /// <summary>Gets the sandbox back. Calls while it is waking share one wake; one that runs is left as it is.</summary>
    /// <param name="options">Default: see <see cref="WakeOptions"/>.</param>
    /// <param name="cancellationToken">Stops waiting. The wake goes on if others wait for it, and else, too: it cannot fail half-way.</param>
    /// <returns>How it came back.</returns>
    /// <exception cref="SandboxSnapshotException">
    /// What was saved is missing or damaged, or its memory cannot be used and <see cref="WakeOptions.RequireMemory"/> is set. It is still
    /// hibernated.
    /// </exception>
    /// <exception cref="SandboxStartException">The VM or its guest failed; it is still hibernated.</exception>
    /// <exception cref="SandboxTimeoutException">Not ready within <see cref="SandboxHostOptions.StartTimeout"/>; it is still hibernated.</exception>
    /// <exception cref="SandboxCapacityException">The host is full; it is still hibernated.</exception>
    /// <exception cref="SandboxConflictException">Another operation on it is under way.</exception>
    /// <exception cref="SandboxStateException">It is not hibernated.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<SandboxWake> WakeAsync(WakeOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= WakeOptions.Default;
        options.Validate();
        cancellationToken.ThrowIfCancellationRequested();
        Task<SandboxWake> waking;
        lock (_operationGate)
        {
            if (State == SandboxState.Running && _waking is null)
            {
                return new SandboxWake(memoryRestored: true, [], TimeSpan.Zero);
            }

            // One for all who ask: none of them may stop it for the others.
            waking = _waking ??= WakeSharedAsync(options, byUse: false);
        }

        return await waking.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task<SandboxWake> WakeSharedAsync(WakeOptions options, bool byUse)
    {
        await Task.Yield(); // the gate is held by the caller
        Task? puttingAway;
        lock (_operationGate)
        {
            // Who sees that it is hibernated can wake it, also a moment before the hibernation has cleared up.
            puttingAway = State == SandboxState.Hibernated && _operation is (Hibernating, Task ending) ? ending : null;
        }

        try
        {
            await (puttingAway ?? Task.CompletedTask).ConfigureAwait(false);
            return await WakeMeasuredAsync(
                byUse, () => OperateAsync("waking", token => WakeNowAsync(options, byUse, token), CancellationToken.None)).ConfigureAwait(false);
        }
        finally
        {
            lock (_operationGate)
            {
                _waking = null;
            }
        }
    }

    private async Task<SandboxHibernation> HibernateNowAsync(CancellationToken cancellationToken)
    {
        long started = Options.TimeProvider.GetTimestamp();
        if (State == SandboxState.Hibernated && _manifest?.SnapshotId is string there)
        {
            try
            {
                return Describe(there, _host.Store.LoadSnapshot(there).Memory, started);
            }
            catch (StateFileException damaged)
            {
                throw await ExplainAsync(damaged, "hibernating").ConfigureAwait(false);
            }
        }

        EnsureRunning();
        SandboxRun run = Run;
        Enter(SandboxState.Hibernating);
        SnapshotManifest saved;
        FrozenDisks disks;
        try
        {
            (saved, disks) = await SaveAsync(run, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            if (failure is not StateUncertainException)
            {
                EnterFrom(SandboxState.Hibernating, SandboxState.Running);
            }

            throw await ExplainAsync(failure, "hibernating").ConfigureAwait(false);
        }

        // What was saved is the sandbox from here on: its machine must never run again.
        run.RequestEnd(null);
        await run.Ended.ConfigureAwait(false);
        Fault.Point(FaultPoints.HibernateEnded);
        Enter(SandboxState.Hibernated);
        BeginCompaction(disks);
        SandboxHibernation result = Describe(saved.Id, saved.Memory, started);
        TellAtEnd(SandboxEventKind.Hibernated, new SandboxEventDetails { Duration = result.Duration });
        VmmLog.SandboxHibernated(_host.Logger, Id, result.MemoryPages, result.MemoryBytes, (long)result.Duration.TotalMilliseconds);
        return result;
    }

    private SandboxHibernation Describe(string snapshotId, SnapshotMemory? memory, long started) => new(
        snapshotId,
        (memory?.RamPages + memory?.PluggedPages) ?? 0,
        (memory?.Memory.Bytes + memory?.DeviceState.Bytes) ?? 0,
        Options.TimeProvider.GetElapsedTime(started));

    /// <summary>Saves the machine, and commits that the sandbox is hibernated. If it fails the machine runs on.</summary>
    private async Task<(SnapshotManifest Saved, FrozenDisks Disks)> SaveAsync(SandboxRun run, CancellationToken cancellationToken)
    {
        using IDisposable limits = await run.Resizer.HoldAsync(cancellationToken).ConfigureAwait(false);
        using StateLease lease = await _host.Store.EnterAsync(cancellationToken).ConfigureAwait(false);
        using SnapshotStaging staging = _host.Store.StageSnapshot(lease);
        using MachineCutter cutter = await MachineCutter
            .PrepareAsync(run.Machine, run.Golden.Shape, copy: false, cancellationToken)
            .ConfigureAwait(false);
        GuestStandstill standstill = await GuestStandstill.QuiesceAsync(_host, Id, run, cancellationToken).ConfigureAwait(false);
        string? replaced = _manifest?.SnapshotId;
        SnapshotManifest saved;
        try
        {
            Fault.Point(FaultPoints.HibernateQuiesced);
            await standstill.StopAsync(cancellationToken).ConfigureAwait(false);
            Fault.Point(FaultPoints.HibernateStopped);
            Task<byte[]> devices = cutter.SaveDevicesAsync(cancellationToken);
            saved = await Task.Run(() => Commit(run, lease, staging, cutter, devices, cancellationToken), CancellationToken.None).ConfigureAwait(false);
        }
        catch (StateUncertainException)
        {
            standstill.Abandon();
            run.RequestEnd(null);
            await run.Ended.ConfigureAwait(false);
            Enter(SandboxState.Hibernated);
            throw;
        }
        catch
        {
            foreach (SandboxDisk disk in run.Disks.All)
            {
                disk.Active.Reopen();
            }

            await standstill.ReleaseAsync(failed: true).ConfigureAwait(false);
            await cutter.ReleaseAsync().ConfigureAwait(false);
            throw;
        }

        standstill.Abandon();
        Fault.Point(FaultPoints.HibernateCommitted);
        _host.DigestSoon(saved.Id, run.Disks.Freeze());
        if (replaced is not null)
        {
            _host.DeleteReplaced(replaced);
            _host.SweepSoon();
        }

        return (saved, run.Disks.Freeze());
    }

    /// <summary>Writes everything and commits it. The machine is stopped. Blocks on the disk.</summary>
    private SnapshotManifest Commit(
        SandboxRun run, StateLease lease, SnapshotStaging staging, MachineCutter cutter, Task<byte[]> devices, CancellationToken cancellationToken)
    {
        SnapshotMemory memory = SnapshotFiles.Write(staging, run.Golden.Shape, cutter, devices, run.Resizer.PluggedNow);
        Fault.Point(FaultPoints.HibernateWritten);
        cancellationToken.ThrowIfCancellationRequested();
        using FrozenDisks disks = run.Disks.Freeze();
        DiskChains chains = Chains.Save(disks, _host.Store, lease);
        Fault.Point(FaultPoints.HibernateLinked);
        SandboxRecord record = SandboxRecord.From(Spec, LimitsRecord.From(run.Resizer.Limits), Network.Policy);
        SnapshotManifest snapshot = _host.DescribeSnapshot(staging.Id, SnapshotKind.Hibernation, Id, null, run.Golden, memory, chains, record);
        staging.Publish(snapshot);
        cancellationToken.ThrowIfCancellationRequested();
        var hibernated = new SandboxManifest
        {
            Id = Id,
            Generation = _manifest?.Generation ?? 0,
            State = RecordedState.Hibernated,
            Lifetime = IsDetached ? RecordedLifetime.Detached : RecordedLifetime.Attached,
            CreatedAt = CreatedAt,
            Sandbox = record,
            Disks = chains,
            SnapshotId = snapshot.Id,
            Expiry = DescribeExpiry(asleep: true),
        };
        lock (_recordGate)
        {
            if (_lock is null)
            {
                (_lock, _manifest) = _host.Store.CreateSandbox(lease, hibernated);
            }
            else
            {
                _manifest = _host.Store.CommitSandbox(_lock, hibernated with { Generation = _manifest!.Generation });
            }
        }

        return snapshot;
    }

    private async Task<SandboxWake> WakeNowAsync(WakeOptions options, bool byUse, CancellationToken cancellationToken)
    {
        if (State == SandboxState.Running)
        {
            return new SandboxWake(memoryRestored: true, [], TimeSpan.Zero);
        }

        if (State == SandboxState.Crashed)
        {
            return await BootNowAsync(options, byUse, cancellationToken).ConfigureAwait(false);
        }

        if (State != SandboxState.Hibernated || _manifest?.SnapshotId is not string snapshotId)
        {
            throw Volatile.Read(ref _exit) is SandboxExit exit
                ? new SandboxLostException(Id, exit)
                : new SandboxStateException(Id, State, SandboxState.Hibernated);
        }

        long started = Options.TimeProvider.GetTimestamp();
        Enter(SandboxState.Waking);
        try
        {
            using StateLease lease = await _host.Store.EnterAsync(cancellationToken).ConfigureAwait(false);
            using SavedSandbox saved = await _host.OpenSavedAsync(snapshotId, _manifest.Disks, cancellationToken).ConfigureAwait(false);
            (SandboxRun run, SandboxLimits limits, IReadOnlyList<string> reasons) = await _host
                .CountingAsync(() => _host.StartSavedAsync(
                    Id, Spec, saved, saved.Manifest.RenewIdentity, options, _host.NewLayersFor(Spec, lease), cancellationToken))
                .ConfigureAwait(false);
            Fault.Point(FaultPoints.WakeStarted);
            await CommitRunAsync(run, limits, lease, snapshotId, cancellationToken).ConfigureAwait(false);
            var result = new SandboxWake(run.FromMemory, reasons, Options.TimeProvider.GetElapsedTime(started));
            TellBack(SandboxEventKind.Woken, result, byUse: byUse);
            VmmLog.SandboxWoken(_host.Logger, Id, run.FromMemory, (long)result.Duration.TotalMilliseconds);
            return result;
        }
        catch (Exception failure)
        {
            EnterFrom(SandboxState.Waking, SandboxState.Hibernated);
            throw await ExplainAsync(failure, "waking").ConfigureAwait(false);
        }
    }

    /// <summary>Makes a machine the sandbox's, on disk first; if that fails the machine is ended and nothing has changed.</summary>
    private async Task CommitRunAsync(
        SandboxRun run, SandboxLimits limits, StateLease lease, string? replaced, CancellationToken cancellationToken)
    {
        try
        {
            await RecordRunAsync(run, limits, lease, cancellationToken).ConfigureAwait(false);
        }
        catch (StateUncertainException)
        {
            // The manifest says that it runs: so it does, and the caller is told that the disk is broken.
            Begin(run, limits);
            throw;
        }
        catch
        {
            await run.Machine.DisposeAsync().ConfigureAwait(false);
            run.Disks.Dispose();
            _host.Left();
            throw;
        }

        Fault.Point(FaultPoints.WakeCommitted);
        Begin(run, limits);
        if (replaced is not null && IsDetached)
        {
            _host.DeleteReplaced(replaced);
        }
    }

    /// <summary>Boots a detached sandbox whose VM has died from its disks, as they were at that moment.</summary>
    private async Task<SandboxWake> BootNowAsync(WakeOptions options, bool byUse, CancellationToken cancellationToken)
    {
        SandboxManifest manifest = _manifest ?? throw NotRunning();
        string reason = Volatile.Read(ref _crash)?.Description ?? "its VM has ended";
        if (options.RequireMemory)
        {
            throw new SandboxSnapshotException(Id, $"sandbox {Id} has no memory to wake with", [reason]);
        }

        long started = Options.TimeProvider.GetTimestamp();
        Enter(SandboxState.Waking);
        try
        {
            if (_followed is SandboxRun gone)
            {
                // It writes down that its machine is gone: not after another one has been written down.
                await gone.Ended.ConfigureAwait(false);
                manifest = _manifest;
            }

            using StateLease lease = await _host.Store.EnterAsync(cancellationToken).ConfigureAwait(false);
            LimitsRecord last = manifest.Sandbox.Limits;
            SandboxRun run = await _host
                .CountingAsync(() => _host.BootAsync(Id, Spec, last, manifest.Disks, lease, cancellationToken))
                .ConfigureAwait(false);
            await CommitRunAsync(run, last.ToLimits(run.Resumed.MemoryBytes), lease, null, cancellationToken).ConfigureAwait(false);
            var result = new SandboxWake(memoryRestored: false, [reason], Options.TimeProvider.GetElapsedTime(started));
            TellBack(SandboxEventKind.Woken, result, byUse: byUse);
            VmmLog.SandboxWoken(_host.Logger, Id, memory: false, (long)result.Duration.TotalMilliseconds);
            return result;
        }
        catch (Exception failure)
        {
            EnterFrom(SandboxState.Waking, SandboxState.Crashed);
            throw await ExplainAsync(failure, "booting from its disks").ConfigureAwait(false);
        }
    }

    /// <summary>What callers catch instead of what the layers below throw.</summary>
    private async ValueTask<Exception> ExplainAsync(Exception failure, string what) => failure switch
    {
        StateUncertainException => new SandboxOperationException(
            SandboxErrorCode.OperationFailed, Id, 0, $"sandbox {Id}: {what}: {failure.Message}", failure),
        DamagedFileException or StateFileException => new SandboxSnapshotException(Id, $"sandbox {Id}: {what}", [failure.Message], failure),
        IOException { HResult: Interop.Errno.ENOSPC } => new SandboxOperationException(
            SandboxErrorCode.NoSpace,
            Id,
            Interop.Errno.ENOSPC,
            $"sandbox {Id}: {what}: the host's disk is full ({failure.Message}); make room and try again",
            failure),
        IOException or QmpCommandException => new SandboxOperationException(
            SandboxErrorCode.OperationFailed, Id, 0, $"sandbox {Id}: {what}: {failure.Message}", failure),
        QmpTimeoutException => new SandboxTimeoutException(Id, what, Options.RequestTimeout, failure),
        QmpException or ObjectDisposedException => await ExplainEndAsync(failure).ConfigureAwait(false),
        _ when GuestErrors.Concerns(failure) => await ExplainEndAsync(failure).ConfigureAwait(false),
        _ => failure,
    };
}
