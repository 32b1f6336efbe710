using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.Vmm.Pools;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Vmm.Tests.Pools;

/// <summary>A pool of fake machines with a clock that stands still.</summary>
internal sealed class PoolUnderTest : IAsyncDisposable
{
    private readonly SemaphoreSlim _starting = new(1);

    internal PoolUnderTest(SandboxPoolOptions options, TimeSpan calm = default, Action<FakeSource>? prepare = null)
    {
        Source = new FakeSource(Clock);
        prepare?.Invoke(Source);
        Pool = new MachinePool<FakeMachine>(options, Source, _starting, Clock, NullLogger.Instance) { Calm = calm };
        Pool.Start();
    }

    internal ManualClock Clock { get; } = new();

    internal FakeSource Source { get; }

    internal MachinePool<FakeMachine> Pool { get; }

    internal SandboxPoolStatistics Statistics => Pool.Statistics;

    /// <summary>What a create does.</summary>
    internal FakeMachine? Create()
    {
        Pool.NoteCreate();
        return Pool.TryTake(Source.Kind ?? default, out FakeMachine? machine) ? machine : null;
    }

    /// <summary>Waits until the pool has nothing to do.</summary>
    internal Task RestAsync() => Pool.WaitForRestAsync(Limits.Token);

    /// <summary>Lets time pass and the pool do what it does then.</summary>
    internal async Task PassAsync(TimeSpan time)
    {
        await RestAsync();
        Clock.Advance(time);
        Pool.Wake();
        await RestAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Pool.DisposeAsync().AsTask().WaitAsync(Limits.Wait);
        _starting.Dispose();
    }
}
