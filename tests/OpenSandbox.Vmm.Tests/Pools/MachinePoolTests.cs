using OpenSandbox.Vmm.Pools;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Vmm.Tests.Pools;

public sealed class MachinePoolTests
{
    private static readonly SandboxPoolOptions s_two = new() { HotTarget = 2, ParkedTarget = 1 };
    private static readonly SandboxPoolOptions s_adaptive = new() { HotTarget = 4, ParkedTarget = 4, Adaptive = true, HotMinimum = 1 };

    [Fact]
    public async Task Pool_Started_FillsToItsTargets()
    {
        await using var test = new PoolUnderTest(s_two);

        await test.RestAsync();

        Assert.Equal((2, 1, 3), (test.Statistics.Hot, test.Statistics.Parked, test.Statistics.Refills));
    }

    [Fact]
    public async Task Take_HotFirstThenParkedThenNothing_AndIsRefilled()
    {
        await using var test = new PoolUnderTest(s_two, calm: TimeSpan.FromSeconds(1));
        await test.RestAsync();

        PoolTier?[] taken = [.. Enumerable.Range(0, 4).Select(_ => test.Create()?.Tier)];

        Assert.Equal([PoolTier.Hot, PoolTier.Hot, PoolTier.Parked, null], taken);
        Assert.Equal(1, test.Statistics.Misses);
        await PassUntilRestAsync(test, TimeSpan.FromMilliseconds(100));
        Assert.Equal((2, 1), (test.Statistics.Hot, test.Statistics.Parked));
    }

    [Fact]
    public async Task Take_OtherKind_GetsNothing()
    {
        await using var test = new PoolUnderTest(s_two);
        await test.RestAsync();

        Assert.False(test.Pool.TryTake(new PoolKind("b", null), out _));
        Assert.True(test.Pool.TryTake(new PoolKind("a", null), out _));
    }

    [Fact]
    public async Task Refill_AfterACreate_WaitsForCalmButNotForEver()
    {
        TimeSpan calm = TimeSpan.FromSeconds(1);
        await using var test = new PoolUnderTest(s_two, calm);
        await test.RestAsync();
        int before = test.Source.Started.Count;
        long first = test.Clock.GetTimestamp();

        // A create every half calm: there is never a calm, and it is refilled all the same.
        while (test.Source.Started.Count == before)
        {
            test.Create();
            test.Clock.Advance(calm / 2);
            await Task.Yield();
        }

        TimeSpan waited = test.Clock.GetElapsedTime(first, test.Source.Started[before].StartedAt);
        Assert.True(waited >= calm * MachinePool<FakeMachine>.MaxCalms, $"refilled after {waited}");

        // And a single one: after the calm.
        await PassUntilRestAsync(test, calm / 10);
        before = test.Source.Started.Count;
        long last = test.Clock.GetTimestamp();
        Assert.NotNull(test.Create());
        await PassUntilRestAsync(test, calm / 10);
        Assert.True(test.Clock.GetElapsedTime(last, test.Source.Started[before].StartedAt) >= calm);
    }

    [Fact]
    public async Task Machine_ThatEnds_IsNeverTakenAndReplacedAfterAPause()
    {
        await using var test = new PoolUnderTest(s_two);
        await test.RestAsync();
        FakeMachine dead = test.Source.Started[0];

        dead.Die();
        Assert.NotSame(dead, test.Create());
        await test.RestAsync();

        Assert.Equal((1, 1), (test.Statistics.DroppedAsEnded, dead.Disposals));
        Assert.Equal(0, test.Statistics.Hot);
        await test.PassAsync(PoolBackOff.First);
        Assert.Equal(2, test.Statistics.Hot);
    }

    [Fact]
    public async Task Start_ThatFails_IsTriedAgainLaterAndLater()
    {
        await using var test = new PoolUnderTest(s_two, prepare: static source => source.Failure = new IOException("no"));
        await test.RestAsync();
        Assert.Equal(1, test.Source.Attempts);

        await test.PassAsync(PoolBackOff.First / 2);
        Assert.Equal(1, test.Source.Attempts);
        await test.PassAsync(PoolBackOff.First / 2);
        Assert.Equal(2, test.Source.Attempts);
        await test.PassAsync(PoolBackOff.First);
        Assert.Equal(2, test.Source.Attempts);

        test.Source.Failure = null;
        await test.PassAsync(PoolBackOff.First);
        Assert.Equal((2, 1, 2), (test.Statistics.Hot, test.Statistics.Parked, test.Statistics.FailedRefills));
    }

    [Fact]
    public async Task Image_ThatPointsAtAnother_DropsTheOldMachines()
    {
        await using var test = new PoolUnderTest(s_two);
        await test.RestAsync();
        FakeMachine[] old = [.. test.Source.Started];

        test.Source.Kind = new PoolKind("b", null);
        await test.PassAsync(MachinePool<FakeMachine>.CheckInterval);

        Assert.All(old, static machine => Assert.Equal(1, machine.Disposals));
        Assert.Equal((2, 1, 3), (test.Statistics.Hot, test.Statistics.Parked, test.Statistics.DroppedForImage));
        Assert.Equal("b", test.Create()!.Kind.Rootfs);
    }

    [Fact]
    public async Task Image_ThatIsMissing_EmptiesThePoolUntilItIsBack()
    {
        await using var test = new PoolUnderTest(s_two);
        await test.RestAsync();

        test.Source.Kind = null;
        await test.PassAsync(MachinePool<FakeMachine>.CheckInterval);
        Assert.Equal((0, 0), (test.Statistics.Hot, test.Statistics.Parked));

        test.Source.Kind = new PoolKind("a", null);
        await test.PassAsync(MachinePool<FakeMachine>.CheckInterval);
        Assert.Equal((2, 1), (test.Statistics.Hot, test.Statistics.Parked));
    }

    [Fact]
    public async Task Memory_ThatRunsShort_StopsRefillingAndThenTakesMachinesBack()
    {
        const long margin = 512L << 20;
        await using var test = new PoolUnderTest(s_two);
        await test.RestAsync();

        test.Source.Spare = margin - 1;
        Assert.NotNull(test.Create());
        await test.RestAsync();
        Assert.Equal((1, 1), (test.Statistics.Hot, test.Statistics.Parked));

        test.Source.Spare = (margin / 2) - 1;
        await test.PassAsync(MachinePool<FakeMachine>.CheckInterval);
        Assert.Equal((0, 0, 2), (test.Statistics.Hot, test.Statistics.Parked, test.Statistics.DroppedForMemory));

        test.Source.Spare = margin;
        await test.PassAsync(MachinePool<FakeMachine>.CheckInterval);
        Assert.Equal((2, 1), (test.Statistics.Hot, test.Statistics.Parked));
    }

    [Fact]
    public async Task Machines_ThatAreTooOld_AreReplacedOneByOne()
    {
        await using var test = new PoolUnderTest(s_two with { MaxAge = TimeSpan.FromMinutes(10) });
        await test.RestAsync();
        FakeMachine[] old = [.. test.Source.Started];

        await test.PassAsync(TimeSpan.FromMinutes(9));
        Assert.Equal(0, test.Statistics.DroppedForAge);
        await test.PassAsync(TimeSpan.FromMinutes(1));

        Assert.All(old, static machine => Assert.Equal(1, machine.Disposals));
        Assert.Equal((2, 1, 3), (test.Statistics.Hot, test.Statistics.Parked, test.Statistics.DroppedForAge));
    }

    [Fact]
    public async Task Adaptive_Burst_GrowsThePoolAndIdlenessShrinksItToItsMinimum()
    {
        await using var test = new PoolUnderTest(s_adaptive);
        await test.RestAsync();
        Assert.Equal((1, 0), (test.Statistics.Hot, test.Statistics.Parked));

        for (int i = 0; i < 6; i++)
        {
            test.Create();
        }

        await test.RestAsync();
        Assert.Equal((4, 2), (test.Statistics.Hot, test.Statistics.Parked));

        await test.PassAsync(PoolDemand.HalfLife);
        Assert.Equal((3, 0), (test.Statistics.Hot, test.Statistics.Parked));
        await test.PassAsync(PoolDemand.HalfLife * 3);
        Assert.Equal((1, 0), (test.Statistics.Hot, test.Statistics.Parked));
        Assert.Equal(5, test.Statistics.DroppedAsSurplus);
    }

    [Fact]
    public async Task Dispose_WhileAMachineStarts_EndsThatAndAllOthers()
    {
        var test = new PoolUnderTest(s_two);
        await test.RestAsync();
        test.Source.Gate = new TaskCompletionSource().Task;
        FakeMachine taken = test.Create()!;

        await test.DisposeAsync();

        Assert.All(test.Source.Started.Where(machine => machine != taken), static machine => Assert.Equal(1, machine.Disposals));
        Assert.Equal(0, taken.Disposals);
        Assert.False(test.Pool.TryTake(new PoolKind("a", null), out _));
    }

    /// <summary>Lets time pass in small steps until the pool has nothing more to do.</summary>
    private static async Task PassUntilRestAsync(PoolUnderTest test, TimeSpan step)
    {
        Task rest = test.RestAsync();
        while (!rest.IsCompleted)
        {
            test.Clock.Advance(step);
            await Task.WhenAny(rest, Task.Run(static () => { }));
        }

        await rest;
    }
}
