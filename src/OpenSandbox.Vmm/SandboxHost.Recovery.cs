using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>What a host that starts finds of earlier ones.</content>
public sealed partial class SandboxHost
{
    private const int RecoveriesAtOnce = 32; // each waits for a guest, not for this process

    /// <summary>
    /// Takes over what earlier hosts have left in the state directory and no other host has: adopts the VMs of detached sandboxes that run,
    /// finishes or undoes what was interrupted, and removes what belongs to nothing. Call it once, when the host has started; sandboxes of
    /// other hosts, which hold locks on them, are left alone.
    /// </summary>
    /// <param name="cancellationToken">Stops; sandboxes that have been taken over stay so.</param>
    /// <returns>What was found. Problems with one sandbox do not keep the others from being recovered.</returns>
    /// <exception cref="SandboxSnapshotException">The state directory cannot be read.</exception>
    public async Task<RecoveryReport> RecoverAsync(CancellationToken cancellationToken = default)
    {
        long started = Options.TimeProvider.GetTimestamp();
        StateListing<SandboxManifest> listing;
        try
        {
            listing = await Task.Run(Store.ListSandboxes, cancellationToken).ConfigureAwait(false);
        }
        catch (IOException unreadable)
        {
            throw new SandboxSnapshotException(null, "the state directory cannot be read", [unreadable.Message], unreadable);
        }

        var found = new ConcurrentBag<Sandbox>();
        var elsewhere = new ConcurrentBag<string>();
        var problems = new ConcurrentBag<string>(listing.Damaged.Select(static damaged => $"{damaged.Path}: {damaged.Problem}"));
        await Parallel.ForEachAsync(
            listing.Items.Where(sandbox => !_sandboxes.ContainsKey(sandbox.Id)),
            new ParallelOptions { MaxDegreeOfParallelism = RecoveriesAtOnce, CancellationToken = cancellationToken },
            async (manifest, token) =>
            {
                try
                {
                    (Sandbox? sandbox, bool owned) = await RecoverOneAsync(manifest.Id, token).ConfigureAwait(false);
                    if (sandbox is not null)
                    {
                        found.Add(sandbox);
                    }
                    else if (owned)
                    {
                        elsewhere.Add(manifest.Id);
                    }
                }
                catch (Exception failure) when (failure is IOException or SandboxException or InvalidDataException)
                {
                    VmmLog.RecoveryFailed(Logger, manifest.Id, failure);
                    problems.Add($"sandbox {manifest.Id}: {failure.Message}");
                }
            }).ConfigureAwait(false);

        TimeSpan duration = Options.TimeProvider.GetElapsedTime(started);
        IReadOnlyList<string> swept = await SweepAsync(problems, cancellationToken).ConfigureAwait(false);
        var report = new RecoveryReport
        {
            Adopted = [.. found.Where(static sandbox => sandbox.State == SandboxState.Running)],
            Hibernated = [.. found.Where(static sandbox => sandbox.State == SandboxState.Hibernated)],
            Crashed = [.. found.Where(static sandbox => sandbox.State == SandboxState.Crashed)],
            Elsewhere = [.. elsewhere],
            Problems = [.. problems],
            Swept = swept,
            Duration = duration,
        };
        VmmLog.Recovered(
            Logger, report.Adopted.Count, report.Hibernated.Count, report.Crashed.Count, report.Problems.Count, (long)duration.TotalMilliseconds);
        return report;
    }

    /// <summary>Takes over one sandbox that an earlier host has left in the state directory, as <see cref="RecoverAsync"/> does with all.</summary>
    /// <param name="sandboxId">Its id.</param>
    /// <param name="cancellationToken">Stops; the sandbox is as it was.</param>
    /// <returns>The sandbox: running, hibernated or crashed. One that this host has already is returned as it is.</returns>
    /// <exception cref="SandboxSnapshotException">There is no such sandbox, or what was saved of it cannot be read.</exception>
    /// <exception cref="SandboxConflictException">Another host has it.</exception>
    public async Task<Sandbox> OpenAsync(string sandboxId, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(sandboxId);
        if (!StateIds.IsSandbox(sandboxId))
        {
            throw new ArgumentException($"sandbox id '{sandboxId}': sb- and hexadecimal digits", nameof(sandboxId));
        }

        if (TryGet(sandboxId, out Sandbox? known))
        {
            return known;
        }

        try
        {
            (Sandbox? sandbox, bool owned) = await RecoverOneAsync(sandboxId, cancellationToken).ConfigureAwait(false);
            return sandbox
                ?? (TryGet(sandboxId, out known) ? known
                    : owned ? throw new SandboxConflictException(sandboxId, "opening it", "the use by another host")
                    : throw new SandboxSnapshotException(sandboxId, $"there is no sandbox {sandboxId}", ["its deletion has just been finished"]));
        }
        catch (StateNotFoundException missing)
        {
            throw new SandboxSnapshotException(sandboxId, $"there is no sandbox {sandboxId}", [missing.Message], missing);
        }
        catch (Exception damaged) when (damaged is IOException or InvalidDataException)
        {
            throw new SandboxSnapshotException(sandboxId, $"sandbox {sandboxId} cannot be opened", [damaged.Message], damaged);
        }
    }

    /// <summary>Boots a machine from the disks of one that is gone.</summary>
    internal async Task<SandboxRun> BootAsync(
        string id, SandboxSpec spec, LimitsRecord limits, DiskChains chains, StateLease lease, CancellationToken cancellationToken)
    {
        EnsureMemory(limits.MemoryMib);
        using FrozenDisks disks = await Task.Run(() => OpenDisks(Chains.Settle(chains, Store), cancellationToken), cancellationToken)
            .ConfigureAwait(false);
        SandboxDisks extended = await Task.Run(() => disks.Extend(NewLayersFor(spec, lease)), CancellationToken.None).ConfigureAwait(false);
        var start = new MachineStart(
            id,
            spec with { MemoryMib = limits.MemoryMib, CpuMaxPercent = limits.CpuPercent, PidsMax = limits.PidsMax },
            _golden,
            extended) { Detached = NewDetachment(id, spec) };
        (SandboxRun run, _) = await StartMachineAsync(start, cancellationToken).ConfigureAwait(false);
        return run;
    }

    /// <returns>The sandbox; or nothing, and whether another host has it.</returns>
    private async Task<(Sandbox? Sandbox, bool Owned)> RecoverOneAsync(string id, CancellationToken cancellationToken)
    {
        SandboxLock? held = Store.TryLockSandbox(id);
        if (held is null)
        {
            return (null, true);
        }

        try
        {
            if (Store.RemoveLeftovers(held) is IOException left)
            {
                VmmLog.SweepFailed(Logger, id, left);
            }

            // Only with its lock does the manifest stay as read.
            SandboxManifest manifest = Store.LoadSandbox(id);
            if (manifest.State == RecordedState.Deleting)
            {
                await FinishDeletingAsync(held, manifest, cancellationToken).ConfigureAwait(false);
                return (null, false);
            }

            SandboxSpec spec = manifest.Sandbox.ToSpec() with { Expiry = ExpiryRecord.ToExpiry(manifest.Expiry) };
            Sandbox sandbox = manifest.State == RecordedState.Running && manifest.Vm is State.VmRecord vm
                ? await AdoptOrMournAsync(held, manifest, spec, vm, cancellationToken).ConfigureAwait(false)
                : Take(held, manifest, spec, manifest.State == RecordedState.Hibernated ? SandboxState.Hibernated : SandboxState.Crashed, null);
            held = null;
            return (sandbox, false);
        }
        finally
        {
            held?.Dispose();
        }
    }

    private Sandbox Take(SandboxLock held, SandboxManifest manifest, SandboxSpec spec, SandboxState state, string? why)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed is not null, this);
            var sandbox = new Sandbox(this, manifest.Id, spec, (held, manifest));
            sandbox.Lie(state, why);
            _sandboxes[manifest.Id] = sandbox;
            _ids.Add(manifest.Id);
            sandbox.Tell(SandboxEventKind.Adopted);
            sandbox.ScheduleExpiry();
            return sandbox;
        }
    }

    private async Task<Sandbox> AdoptOrMournAsync(
        SandboxLock held, SandboxManifest manifest, SandboxSpec spec, State.VmRecord vm, CancellationToken cancellationToken)
    {
        VirtualMachine machine;
        try
        {
            machine = await VirtualMachine.AdoptAsync(_context, manifest.Id, Records.Of(vm), cancellationToken).ConfigureAwait(false);
        }
        catch (VmAdoptionException gone) when (gone.Failure is VmAdoptionFailure.Gone or VmAdoptionFailure.OtherBoot or VmAdoptionFailure.Stranger)
        {
            await VmSweeper.SweepAsync(_context, Records.Of(vm), cancellationToken).ConfigureAwait(false);
            SandboxManifest without = await Task
                .Run(() => Store.CommitSandbox(held, manifest with { Vm = null, Operation = null }), CancellationToken.None)
                .ConfigureAwait(false);
            return Take(held, without, spec, SandboxState.Crashed, gone.Message);
        }

        bool adopted = false;
        SandboxDisks? disks = null;
        try
        {
            (SandboxRun run, disks) = await ReviveAsync(machine, manifest, spec, cancellationToken).ConfigureAwait(false);
            if (manifest.Operation is not null)
            {
                using StateLease lease = await Store.EnterAsync(cancellationToken).ConfigureAwait(false);
                SandboxDisks now = disks;
                manifest = await Task.Run(
                    () => Store.CommitSandbox(held, manifest with { Disks = Chains.Describe(now, Store, lease), Operation = null }),
                    CancellationToken.None).ConfigureAwait(false);
            }

            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_disposed is not null, this);
                CountMachine();
                var sandbox = new Sandbox(this, manifest.Id, spec, (held, manifest));
                _sandboxes[manifest.Id] = sandbox;
                _ids.Add(manifest.Id);
                sandbox.Tell(SandboxEventKind.Adopted);
                sandbox.Begin(run, manifest.Sandbox.Limits.ToLimits(run.Resumed.MemoryBytes));
                adopted = true;
                return sandbox;
            }
        }
        finally
        {
            if (!adopted)
            {
                disks?.Dispose();
                await machine.ReleaseAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Gets an adopted machine going again, wherever its last host left it, and finds out what it writes to.</summary>
    private async Task<(SandboxRun Run, SandboxDisks Disks)> ReviveAsync(
        VirtualMachine machine, SandboxManifest manifest, SandboxSpec spec, CancellationToken cancellationToken)
    {
        using CancellationTokenSource deadline = Deadlines.Start(Options.StartTimeout, Options.TimeProvider, cancellationToken);
        SandboxDisks? disks = null;
        try
        {
            QmpClient qmp = await machine.GetQmpAsync().WaitAsync(deadline.Token).ConfigureAwait(false);
            Task<QmpRunStatus> asked = qmp.QueryStatusAsync(deadline.Token);
            Task<SandboxDisks> sought = FindDisksAsync(qmp, manifest.Disks, deadline.Token);
            await Task.WhenAll(asked, sought).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            disks = await sought.ConfigureAwait(false);

            // The last host may have died while it was saving: nothing was committed, so the guest goes on.
            if ((await asked.ConfigureAwait(false)).Status == "paused")
            {
                await qmp.ContinueAsync(deadline.Token).ConfigureAwait(false);
            }

            await machine.Channel.WaitForHelloAsync(deadline.Token).ConfigureAwait(false);
            OpenRequest request = DescribeResume(manifest.Id, spec, 0);
            GuestStream stream = machine.Channel.OpenStream(
                GuestPort.Control, request with { Resume = request.Resume! with { Limits = null } });
            await using (stream.ConfigureAwait(false))
            {
                ResumeResult resumed = await stream
                    .GetResultAsync(ProtocolJsonContext.Default.ResumeResult, deadline.Token)
                    .ConfigureAwait(false);
                return (new SandboxRun(machine, manifest.Golden!.ToReference(), disks, resumed)
                {
                    Isolation = await machine.GetIsolationAsync(deadline.Token).ConfigureAwait(false),
                }, disks);
            }
        }
        catch (Exception failure)
        {
            disks?.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            throw failure switch
            {
                OperationCanceledException => new SandboxTimeoutException(manifest.Id, "adopting its VM", Options.StartTimeout, failure),
                QmpException or GuestChannelException or GuestOperationException => new SandboxOperationException(
                    SandboxErrorCode.OperationFailed, manifest.Id, 0, $"sandbox {manifest.Id}: adopting its VM: {failure.Message}", failure),
                _ => failure,
            };
        }
    }

    /// <summary>Opens the disks of a running machine. Which layer is active the machine says, of those that the manifest names.</summary>
    private async Task<SandboxDisks> FindDisksAsync(QmpClient qmp, DiskChains chains, CancellationToken cancellationToken)
    {
        string rootfsNode = chains.Rootfs is null ? "" : await ActiveNodeAsync(qmp, QemuCommandLine.RootfsDevice, cancellationToken).ConfigureAwait(false);
        string workspaceNode = chains.Workspace is null
            ? ""
            : await ActiveNodeAsync(qmp, QemuCommandLine.WorkspaceDevice, cancellationToken).ConfigureAwait(false);
        return await Task.Run(
            () =>
            {
                SandboxDisk? rootfs = chains.Rootfs is null
                    ? null
                    : FindDisk(QemuCommandLine.RootfsName, chains.Rootfs, rootfsNode, cancellationToken);
                try
                {
                    return new SandboxDisks(
                        rootfs,
                        chains.Workspace is null
                            ? null
                            : FindDisk(QemuCommandLine.WorkspaceName, chains.Workspace, workspaceNode, cancellationToken));
                }
                catch
                {
                    rootfs?.Dispose();
                    throw;
                }
            },
            cancellationToken).ConfigureAwait(false);
    }

    private SandboxDisk FindDisk(string name, DiskChain chain, string active, CancellationToken cancellationToken)
    {
        string recorded = chain.Layers.Count > 0 ? chain.Layers[^1].Id : throw new InvalidDataException($"{name} has no layer to write to");
        bool moved = active == chain.Pending;

        // The layer that the machine was started with has the disk's name, every later one its own.
        string? node = moved || active == recorded ? active : null;
        if (node is null && active != name)
        {
            throw new InvalidDataException($"QEMU writes {name} to none of the layers that the manifest names");
        }

        // Nobody writes to the layer any more that the machine has left.
        DiskChain below = chain with
        {
            Pending = null,
            Layers = [.. chain.Layers.SkipLast(1), .. moved ? [Store.FreezeLayer(recorded)] : Array.Empty<LayerRef>()],
        };
        FrozenDisk frozen = OpenDisk(name, below, cancellationToken);
        try
        {
            string layer = moved ? active : recorded;
            SafeFileHandle file = Store.OpenLayer(layer, readOnly: false);
            return new SandboxDisk(frozen, DiskLayer.Named(layer, file), node);
        }
        catch
        {
            frozen.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Name of the node that a disk of the machine is. Asked of the device: what query-block says of it holds all layers below, each inside
    /// the one above it, and there is no bound on how many there are.
    /// </summary>
    private static async Task<string> ActiveNodeAsync(QmpClient qmp, string device, CancellationToken cancellationToken)
    {
        JsonElement node = await qmp.QomGetAsync($"/machine/peripheral/{device}", "drive", cancellationToken).ConfigureAwait(false);
        return node.ValueKind == JsonValueKind.String ? node.GetString()! : throw new InvalidDataException($"QEMU does not say what {device} writes to");
    }

    private async Task FinishDeletingAsync(SandboxLock held, SandboxManifest manifest, CancellationToken cancellationToken)
    {
        if (manifest.Vm is State.VmRecord vm)
        {
            await VmSweeper.SweepAsync(_context, Records.Of(vm), cancellationToken).ConfigureAwait(false);
        }

        if (await Task.Run(() => Store.DeleteSandbox(held), CancellationToken.None).ConfigureAwait(false) is IOException left)
        {
            VmmLog.SweepFailed(Logger, manifest.Id, left);
        }
    }

    /// <summary>Ends VMs that no manifest names and no host uses, and removes files that no manifest names.</summary>
    private async Task<IReadOnlyList<string>> SweepAsync(ConcurrentBag<string> problems, CancellationToken cancellationToken)
    {
        var swept = new List<string>();
        try
        {
            (List<SweepEntry> machines, List<string> unclear) = ([], []);
            await PruneMachinesAsync(dryRun: false, machines, unclear, cancellationToken).ConfigureAwait(false);
            swept.AddRange(machines.Select(static entry => $"{entry.Path}: {entry.Reason}"));
            unclear.ForEach(problems.Add);
            SweepReport report = await StateSweeper.SweepAsync(Store, null, cancellationToken).ConfigureAwait(false);
            swept.AddRange(report.Removed.Select(static entry => $"{entry.Path}: {entry.Reason}"));
        }
        catch (IOException failure)
        {
            problems.Add($"sweeping: {failure.Message}");
            VmmLog.SweepFailed(Logger, Store.Layout.Root, failure);
        }

        return swept;
    }
}
