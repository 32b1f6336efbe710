using OpenSandbox.Vmm.Pools;

namespace OpenSandbox.Vmm.Tests.Pools;

/// <summary>Starts fake machines at once, unless told otherwise.</summary>
internal sealed class FakeSource(TimeProvider time) : IPoolSource<FakeMachine>
{
    private readonly Lock _gate = new();
    private readonly List<FakeMachine> _started = [];

    /// <summary>What the image's name points at; none: at nothing.</summary>
    internal PoolKind? Kind { get; set; } = new PoolKind("a", null);

    internal long Spare { get; set; } = long.MaxValue;

    /// <summary>What starting fails with.</summary>
    internal Exception? Failure { get; set; }

    /// <summary>A start waits for this.</summary>
    internal Task Gate { get; set; } = Task.CompletedTask;

    internal IReadOnlyList<FakeMachine> Started
    {
        get
        {
            lock (_gate)
            {
                return [.. _started];
            }
        }
    }

    internal int Attempts { get; private set; }

    public PoolKind FindKind() => Kind ?? throw new SandboxImageException("no such image");

    public long ReadSpareMemory() => Spare;

    public async Task<FakeMachine> StartAsync(PoolTier tier, CancellationToken cancellationToken)
    {
        Attempts++;
        await Gate.WaitAsync(cancellationToken);
        if (Failure is not null)
        {
            throw Failure;
        }

        var machine = new FakeMachine(FindKind(), tier, time.GetTimestamp());
        lock (_gate)
        {
            _started.Add(machine);
        }

        return machine;
    }
}
