using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Snapshots;
using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Telemetry;

namespace OpenSandbox.Vmm;

/// <content>Forking a running sandbox.</content>
public sealed partial class Sandbox
{
    private const int MaxForks = 256;
    private const int MaxLayers = 100;

    /// <summary>
    /// Makes copies of the running sandbox, with all its memory, processes and files as they are at one instant. It stands still for
    /// milliseconds and goes on; the copies go on by themselves, side by side.
    /// </summary>
    /// <param name="count">How many, 1 to 256. Default: 1.</param>
    /// <param name="options">In what they differ. Default: see <see cref="ForkOptions"/>.</param>
    /// <param name="cancellationToken">Ends the copies that have been made.</param>
    /// <returns>
    /// The copies; dispose them. Each has an id, a clock, random numbers and a machine id of its own. Managed processes
    /// (<see cref="StartAsync(IReadOnlyList{string}, StartOptions?, CancellationToken)"/>) and background processes go on in them; commands of
    /// ExecAsync that were under way are ended in them, because nobody waits for their results, and connections of the network are reset.
    /// </returns>
    /// <exception cref="SandboxOperationException">The guest or QEMU refused; the sandbox runs on.</exception>
    /// <exception cref="SandboxConflictException">Another operation on it is under way.</exception>
    /// <exception cref="SandboxCapacityException">The host has no room for so many.</exception>
    /// <exception cref="SandboxStartException">A copy did not come up; all of them have been ended.</exception>
    /// <exception cref="SandboxTimeoutException">The guest did not answer, or a copy was not ready in time.</exception>
    /// <exception cref="SandboxStateException">It does not run.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<IReadOnlyList<Sandbox>> ForkAsync(int count = 1, ForkOptions? options = null, CancellationToken cancellationToken = default) =>
        Operation.Fork.RunAsync(Id, () => ForkNowAsync(count, options, cancellationToken));

    private async Task<IReadOnlyList<Sandbox>> ForkNowAsync(int count, ForkOptions? options, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, MaxForks);
        SandboxSpec spec = (options ?? ForkOptions.Default).Apply(Spec, Network.Policy, _host.Inherit(Expiry));
        spec.Validate(Options);
        EnsureRunning();
        using SandboxCut cut = await OperateAsync("forking", token => CutAsync("forking", memory: true, token), cancellationToken)
            .ConfigureAwait(false);
        try
        {
            cut.Disks.Validate();
        }
        catch (Exception damaged) when (damaged is Compression.DamagedFileException or IOException)
        {
            throw await ExplainAsync(damaged, "forking").ConfigureAwait(false);
        }

        IReadOnlyList<Sandbox> forks = await _host.StartForksAsync(count, spec, cut, Id, cancellationToken).ConfigureAwait(false);
        VmmLog.SandboxForked(_host.Logger, Id, count, (long)cut.Stopped.TotalMilliseconds);
        return forks;
    }

    /// <summary>Cuts the running sandbox, which goes on. Its disks get a layer more.</summary>
    /// <param name="what">What it is for, for messages.</param>
    /// <param name="memory">Whether the memory is wanted, too.</param>
    /// <param name="cancellationToken">Until the guest stands still.</param>
    private async Task<SandboxCut> CutAsync(string what, bool memory, CancellationToken cancellationToken)
    {
        SandboxRun run = Run;
        if (run.Disks.All.Any(static disk => disk.Below.Layers.Count >= MaxLayers))
        {
            throw new SandboxOperationException(
                SandboxErrorCode.LimitReached,
                Id,
                0,
                $"sandbox {Id}: {what}: its disks have {MaxLayers} layers already, one for each checkpoint and live fork; hibernate it once, which merges them");
        }

        try
        {
            using IDisposable limits = await run.Resizer.HoldAsync(cancellationToken).ConfigureAwait(false);
            QmpClient qmp = await run.Machine.GetQmpAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
            MachineCutter? cutter = memory
                ? await MachineCutter.PrepareAsync(run.Machine, run.Golden.Shape, copy: true, cancellationToken).ConfigureAwait(false)
                : null;
            try
            {
                using StateLease lease = await _host.Store.EnterAsync(cancellationToken).ConfigureAwait(false);
                return await TryCutAsync(run, lease, qmp, cutter, whileStopped: false, cancellationToken).ConfigureAwait(false)
                    ?? await TryCutAsync(run, lease, qmp, cutter, whileStopped: true, cancellationToken).ConfigureAwait(false)
                    ?? throw new InvalidOperationException("a machine that is stopped has written to its disks");
            }
            finally
            {
                if (cutter is not null)
                {
                    await cutter.ReleaseAsync().ConfigureAwait(false);
                    cutter.Dispose();
                }
            }
        }
        catch (Exception failure) when (failure is not (SandboxException or OperationCanceledException))
        {
            throw await ExplainAsync(failure, what).ConfigureAwait(false);
        }
    }

    /// <summary>Writes down what the disks of a detached sandbox consist of, and which layers they may be moved to at any moment.</summary>
    private async Task RecordDisksAsync(SandboxRun run, StateLease lease, DiskSwitch? pending)
    {
        if (IsDetached)
        {
            await Task.Run(() => Record(manifest => Volatile.Read(ref _run) == run
                ? manifest with
                {
                    Disks = Chains.Describe(run.Disks, _host.Store, lease, disk => pending?.LayerFor(disk)),
                    Operation = pending is null
                        ? null
                        : new OperationRecord { Kind = OperationKind.Checkpoint, StartedAt = Options.TimeProvider.GetUtcNow() },
                }
                : pending is null
                    ? manifest // its machine has ended: its disks stay as written down, with the layer that they may have been moved to
                    : throw NotRunning())).ConfigureAwait(false);
        }
    }

    /// <summary>Switches the disks and cuts, in that order or the other.</summary>
    /// <returns>
    /// The cut; nothing if the disks were switched ahead of the stop and something was written to them in between, so that they are not of
    /// the memory's instant: the sandbox goes on, with a layer more.
    /// </returns>
    private async Task<SandboxCut?> TryCutAsync(
        SandboxRun run, StateLease lease, QmpClient qmp, MachineCutter? cutter, bool whileStopped, CancellationToken cancellationToken)
    {
        DiskSwitch disks = await DiskSwitch
            .PrepareAsync(qmp, run.Disks, _host.NewLayersFor(Spec, lease), cancellationToken)
            .ConfigureAwait(false);
        try
        {
            await RecordDisksAsync(run, lease, disks).ConfigureAwait(false);
            Fault.Point(FaultPoints.SwitchPending);
            return await CutAsync(run, cutter, disks, whileStopped, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await disks.DiscardAsync().ConfigureAwait(false);
            Fault.Point(FaultPoints.SwitchDone);
            await RecordDisksAsync(run, lease, null).ConfigureAwait(false);
        }
    }

    private async Task<SandboxCut?> CutAsync(
        SandboxRun run, MachineCutter? cutter, DiskSwitch disks, bool whileStopped, CancellationToken cancellationToken)
    {
        GuestStandstill standstill = await GuestStandstill.QuiesceAsync(_host, Id, run, cancellationToken).ConfigureAwait(false);
        MachineCut? machine = null;
        SandboxCut? cut = null;
        try
        {
            TimeSpan stopped = TimeSpan.Zero;
            if (!whileStopped)
            {
                // The guest's file systems are frozen and its processes stand still: the disks stay as they are from here on, and what QEMU
                // needs for the switch is not added to the time for which the machine is stopped.
                await disks.SwitchAsync(CancellationToken.None).ConfigureAwait(false);
            }

            if (cutter is not null)
            {
                await standstill.StopAsync(cancellationToken).ConfigureAwait(false);
                if (whileStopped)
                {
                    await disks.SwitchAsync(CancellationToken.None).ConfigureAwait(false);
                }

                // A guest whose root has put a process where the agent does not freeze it, or its swap into a file, can write all the same.
                if (whileStopped || !disks.IsWritten())
                {
                    machine = await cutter.CutAsync(run.Resizer.PluggedNow, cancellationToken).ConfigureAwait(false);
                }
                else
                {
                    VmmLog.SwitchedTooEarly(_host.Logger, Id);
                }

                stopped = await standstill.ContinueAsync().ConfigureAwait(false);
            }

            if (cutter is null || machine is not null)
            {
                cut = new SandboxCut(run.Golden, machine, run.Disks.ShareBelow(), run.Resizer.Limits, stopped);
            }
        }
        catch
        {
            machine?.Dispose();
            await standstill.ReleaseAsync(failed: true).ConfigureAwait(false);
            throw;
        }

        try
        {
            await standstill.ReleaseAsync(failed: false).ConfigureAwait(false);
            SandboxMetrics.StandstillDuration.Record(standstill.StoodStill.TotalSeconds);
            return cut is null ? null : cut with { StoodStill = standstill.StoodStill };
        }
        catch
        {
            cut?.Dispose();
            throw;
        }
    }
}
