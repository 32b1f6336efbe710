using System.Net.Sockets;
using OpenSandbox.Qmp;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Pools;

/// <summary>A QEMU that has been started for a kind of sandbox, with disks of its own, and does not run yet or no more.</summary>
/// <remarks>Not thread-safe: the pool has it, and then whoever takes it.</remarks>
internal sealed class PooledMachine : IPooledMachine
{
    private readonly Socket _feed;
    private ReadOnlyMemory<byte> _owed;

    /// <summary>Takes over everything; QEMU waits for its state.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="disks">Its disks.</param>
    /// <param name="kind">What it is for.</param>
    /// <param name="feed">Where its devices' state goes.</param>
    /// <param name="deviceState">All of the devices' state.</param>
    internal PooledMachine(VirtualMachine machine, SandboxDisks disks, PoolKind kind, Socket feed, ReadOnlyMemory<byte> deviceState)
    {
        Machine = machine;
        Disks = disks;
        Kind = kind;
        _feed = feed;
        _owed = deviceState;
    }

    public PoolKind Kind { get; }

    public PoolTier Tier { get; private set; }

    public Task Exited => Machine.Exited;

    internal VirtualMachine Machine { get; }

    internal SandboxDisks Disks { get; }

    /// <summary>Brings it up to where it is kept.</summary>
    internal async Task PrepareAsync(PoolTier tier, CancellationToken cancellationToken)
    {
        QmpClient qmp = await Machine.GetQmpAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        if (tier == PoolTier.Parked)
        {
            // All but the last byte, which says that this was all: the devices have their state, and the guest cannot run.
            await FeedAsync(_owed.Length - 1, cancellationToken).ConfigureAwait(false);
            return;
        }

        await FeedAsync(_owed.Length, cancellationToken).ConfigureAwait(false);
        await Machine.Channel.WaitForHelloAsync(cancellationToken).ConfigureAwait(false);

        // What answers a request has run once, and is translated, when the machine is taken.
        await Machine.Channel.PingAsync(ReadOnlyMemory<byte>.Empty, cancellationToken).ConfigureAwait(false);
        await qmp.StopAsync(cancellationToken).ConfigureAwait(false);
        Tier = PoolTier.Hot;
    }

    /// <summary>Lets the guest run.</summary>
    /// <returns>When it does, and has answered.</returns>
    internal async Task ReleaseAsync(CancellationToken cancellationToken)
    {
        if (Tier == PoolTier.Hot)
        {
            QmpClient qmp = await Machine.GetQmpAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
            await qmp.ContinueAsync(cancellationToken).ConfigureAwait(false);
            return;
        }

        await FeedAsync(_owed.Length, cancellationToken).ConfigureAwait(false);
        await Machine.Channel.WaitForHelloAsync(cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await Machine.DisposeAsync().ConfigureAwait(false);
        _feed.Dispose();
        Disks.Dispose();
    }

    private async Task FeedAsync(int bytes, CancellationToken cancellationToken)
    {
        for (int end = _owed.Length - bytes; _owed.Length > end;)
        {
            _owed = _owed[await _feed.SendAsync(_owed[..^end], cancellationToken).ConfigureAwait(false)..];
        }

        if (_owed.Length == 0)
        {
            _feed.Dispose();
        }
    }
}
