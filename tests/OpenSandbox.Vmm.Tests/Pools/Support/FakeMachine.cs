using OpenSandbox.Vmm.Pools;

namespace OpenSandbox.Vmm.Tests.Pools;

/// <summary>A machine that is a few numbers.</summary>
internal sealed class FakeMachine(PoolKind kind, PoolTier tier, long startedAt) : IPooledMachine
{
    private readonly TaskCompletionSource _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public PoolKind Kind => kind;

    public PoolTier Tier => tier;

    public Task Exited => _exited.Task;

    /// <summary>When it was started, by the source's clock.</summary>
    internal long StartedAt => startedAt;

    internal int Disposals { get; private set; }

    internal void Die() => _exited.TrySetResult();

    public ValueTask DisposeAsync()
    {
        Disposals++;
        Die();
        return ValueTask.CompletedTask;
    }
}
