using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Pools;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm;

/// <content>Machines that are started before they are asked for.</content>
public sealed partial class SandboxHost
{
    /// <summary>Machines of all pools that are started side by side: refilling is not to take the host over.</summary>
    private const int MaxPoolStarts = 2;

    private const string PooledName = "a machine of a pool";

    private readonly SemaphoreSlim _poolStarts = new(MaxPoolStarts);
    private ReadOnlyMemory<byte> _poolState;

    /// <summary>The pools, in the order of the options.</summary>
    internal IReadOnlyList<MachinePool<PooledMachine>> Pools { get; private set; } = [];

    /// <summary>
    /// The pools (<see cref="SandboxHostOptions.Pools"/>, in the same order) as they are now: what is ready, and how often it served.
    /// </summary>
    public IReadOnlyList<SandboxPoolStatistics> PoolStatistics => [.. Pools.Select(static pool => pool.Statistics)];

    /// <summary>
    /// Waits until the pools have their sizes, or what holds them back (too little memory, a missing image, machines that fail) lets them
    /// have no more for now. They fill by themselves; this is for who wants the first creates to be fast ones.
    /// </summary>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>When they are filled. Without pools: at once.</returns>
    public Task WaitForPoolsAsync(CancellationToken cancellationToken = default) =>
        Task.WhenAll(Pools.Select(pool => pool.WaitForRestAsync(cancellationToken)));

    /// <summary>What machines for these sandboxes are started for now.</summary>
    internal PoolKind FindPoolKind(SandboxSpec spec)
    {
        using FrozenDisks images = OpenImages(spec);
        return PoolKind.Of(images);
    }

    /// <summary>Starts a machine of a pool.</summary>
    /// <exception cref="SandboxException">It did not come up; nothing is left of it.</exception>
    internal async Task<PooledMachine> StartPooledAsync(SandboxSpec spec, PoolTier tier, CancellationToken cancellationToken)
    {
        using CancellationTokenSource deadline = Deadlines.Start(Options.StartTimeout, Options.TimeProvider, cancellationToken);
        using FrozenDisks images = OpenImages(spec);
        SandboxDisks? disks = images.Extend(NewLayer);
        Socket? feed = null;
        VirtualMachine? vm = null;
        try
        {
            (feed, SafeFileHandle theirs) = SocketPairs.Create();
            using (theirs)
            {
                vm = await LaunchAsync(new MachineStart(PooledName, spec, _golden, disks), theirs, null).ConfigureAwait(false);
            }

            var machine = new PooledMachine(vm, disks, PoolKind.Of(images), feed, _poolState);
            await machine.PrepareAsync(tier, deadline.Token).ConfigureAwait(false);
            disks = null;
            feed = null;
            vm = null;
            return machine;
        }
        catch (Exception failure) when (failure is not SandboxException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            SandboxExit? exit = vm is null || failure is OperationCanceledException ? null : await vm.TryDescribeExitAsync().ConfigureAwait(false);
            throw new SandboxStartException(
                PooledName, "preparing", exit?.Description ?? failure.Message, exit?.StandardErrorTail ?? "", failure);
        }
        finally
        {
            if (vm is not null)
            {
                await vm.DisposeAsync().ConfigureAwait(false);
            }

            feed?.Dispose();
            disks?.Dispose();
        }
    }

    /// <summary>Makes a sandbox's machine of one that a pool has ready.</summary>
    /// <param name="id">The sandbox's id.</param>
    /// <param name="spec">What the sandbox is made of; it ends with this process.</param>
    /// <param name="images">What its disks begin with.</param>
    /// <param name="first">A first command.</param>
    /// <param name="cancellationToken">The machine is gone before the cancellation surfaces.</param>
    /// <returns>The machine, or nothing: then it is to be started.</returns>
    private async Task<(SandboxRun Run, GuestStream? First)?> ClaimAsync(
        string id, SandboxSpec spec, FrozenDisks images, OpenRequest? first, CancellationToken cancellationToken)
    {
        // Their machines are confined as the host's options have it, not more.
        if (Pools.Count == 0 || spec.HostCpuMaxPercent is not null || spec.Isolation is not null && spec.Isolation != Options.Isolation || FindPool(spec, PoolKind.Of(images)) is not MachinePool<PooledMachine> pool)
        {
            return null;
        }

        pool.NoteCreate();
        while (pool.TryTake(PoolKind.Of(images), out PooledMachine? machine))
        {
            try
            {
                (SandboxRun, GuestStream?) claimed = await BecomeAsync(machine, id, spec, first, pool.Options.ClaimTimeout, cancellationToken)
                    .ConfigureAwait(false);
                pool.Report(machine.Tier, null);
                return claimed;
            }
            catch (Exception failure)
            {
                bool ended = machine.Exited.IsCompleted;
                await machine.DisposeAsync().ConfigureAwait(false);
                cancellationToken.ThrowIfCancellationRequested();
                ObjectDisposedException.ThrowIf(_closing.IsCancellationRequested, this);
                pool.Report(machine.Tier, failure);
                if (!ended && failure is not (GuestChannelException or QmpConnectionException))
                {
                    // It was too slow, or the guest refused: the next one would be no better, and a start of its own says why.
                    return null;
                }
            }
        }

        return null;
    }

    private MachinePool<PooledMachine>? FindPool(SandboxSpec spec, PoolKind kind)
    {
        foreach (MachinePool<PooledMachine> pool in Pools)
        {
            if (pool.Serves(kind) || pool.Options.Fits(spec))
            {
                return pool;
            }
        }

        return null;
    }

    private async Task<(SandboxRun Run, GuestStream? First)> BecomeAsync(
        PooledMachine machine, string id, SandboxSpec spec, OpenRequest? first, TimeSpan limit, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(limit, Options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken, _closing.Token);
        VirtualMachine vm = machine.Machine;
        vm.Rename(id);
        Task plugged = Task.CompletedTask;
        try
        {
            GuestStream? stream = first is null ? null : vm.Channel.OpenStream(GuestPort.Bulk, first);

            // Only a guest that runs is told the time: what is on its way to one that does not gets old.
            await machine.ReleaseAsync(either.Token).ConfigureAwait(false);
            long plug = PluggedBytes(spec, _golden.Shape);
            vm.AllowPlugged(plug);
            SandboxIsolation isolation = await vm.GetIsolationAsync(either.Token).ConfigureAwait(false);
            plugged = plug == 0 ? Task.CompletedTask : PlugAsync(vm, plug, either.Token);
            var start = new MachineStart(id, spec, _golden, machine.Disks);
            ResumeResult resumed = await ResumeAsync(vm, start, plug, either.Token).ConfigureAwait(false);
            await plugged.ConfigureAwait(false);
            return (new SandboxRun(vm, GoldenReference.To(_golden), machine.Disks, resumed) { FromPool = true, Isolation = isolation }, stream);
        }
        catch
        {
            await either.CancelAsync().ConfigureAwait(false);
            await plugged.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }
    }

    private void StartPools()
    {
        if (Options.Pools.Count == 0)
        {
            return;
        }

        _poolState = ReadDeviceState();
        Pools =
        [
            .. Options.Pools.Select(options => new MachinePool<PooledMachine>(
                options, new GoldenPoolSource(this, options.Spec), _poolStarts, Options.TimeProvider, Logger)),
        ];
        foreach (MachinePool<PooledMachine> pool in Pools)
        {
            pool.Start();
        }
    }

    private byte[] ReadDeviceState()
    {
        using SafeFileHandle file = _golden.OpenDeviceState();
        byte[] state = new byte[RandomAccess.GetLength(file)];
        for (int at = 0; at < state.Length;)
        {
            int read = RandomAccess.Read(file, state.AsSpan(at), at);
            at += read > 0 ? read : throw new EndOfStreamException("the golden snapshot's device state ends early");
        }

        return state;
    }

    private async Task ClosePoolsAsync()
    {
        await Task.WhenAll(Pools.Select(static pool => pool.DisposeAsync().AsTask())).ConfigureAwait(false);
        _poolStarts.Dispose();
    }
}
