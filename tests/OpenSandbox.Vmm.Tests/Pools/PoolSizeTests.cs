using OpenSandbox.Vmm.Pools;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Vmm.Tests.Pools;

public sealed class PoolSizeTests
{
    [Theory]
    [InlineData(0, 1, 0)]
    [InlineData(1, 1, 0)]
    [InlineData(3, 3, 0)]
    [InlineData(5, 4, 1)]
    [InlineData(100, 4, 8)]
    public void Size_Adaptive_IsHotFirstWithinItsBounds(int demand, int hot, int parked)
    {
        var options = new SandboxPoolOptions { HotTarget = 4, ParkedTarget = 8, Adaptive = true, HotMinimum = 1 };

        Assert.Equal(new PoolSize(hot, parked), PoolSize.For(options, demand));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    public void Size_Fixed_IsTheTargets(int demand)
    {
        var options = new SandboxPoolOptions { HotTarget = 4, ParkedTarget = 8 };

        Assert.Equal(new PoolSize(4, 8), PoolSize.For(options, demand));
    }

    [Fact]
    public void Demand_Burst_CountsAtOnceAndHalvesEveryMinute()
    {
        var clock = new ManualClock();
        var demand = new PoolDemand(clock, 16);
        for (int i = 0; i < 8; i++)
        {
            demand.Note(TimeSpan.Zero);
        }

        Assert.Equal(8, demand.Expect());
        clock.Advance(PoolDemand.HalfLife);
        Assert.Equal(4, demand.Expect());
        clock.Advance(PoolDemand.HalfLife * 4);
        Assert.Equal(0, demand.Expect());
    }

    [Fact]
    public void Demand_CreatesFarApart_AreNoBurst()
    {
        var clock = new ManualClock();
        var demand = new PoolDemand(clock, 16);
        for (int i = 0; i < 50; i++)
        {
            demand.Note(TimeSpan.Zero);
            clock.Advance(PoolDemand.MinWindow);
        }

        Assert.Equal(1, demand.Expect());
    }

    [Fact]
    public void Demand_MachinesThatStartSlowly_MakeMoreCreatesABurst()
    {
        var clock = new ManualClock();
        var demand = new PoolDemand(clock, 16);
        for (int i = 0; i < 50; i++)
        {
            demand.Note(TimeSpan.FromSeconds(5));
            clock.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(5, demand.Expect());
    }

    [Fact]
    public void Demand_MoreThanMayBeKept_IsNotRemembered()
    {
        var clock = new ManualClock();
        var demand = new PoolDemand(clock, 16);
        for (int i = 0; i < 10_000; i++)
        {
            demand.Note(TimeSpan.Zero);
        }

        Assert.Equal(16, demand.Expect());
    }

    [Fact]
    public void BackOff_Failures_DoubleThePauseUpToAMinuteUntilOneSucceeds()
    {
        var clock = new ManualClock();
        var backOff = new PoolBackOff(clock);
        Assert.Equal(TimeSpan.Zero, backOff.Remaining);
        foreach (int seconds in (int[])[1, 2, 4, 8, 16, 32, 60, 60])
        {
            backOff.Failed();
            Assert.Equal(TimeSpan.FromSeconds(seconds), backOff.Remaining);
            clock.Advance(TimeSpan.FromSeconds(seconds));
            Assert.Equal(TimeSpan.Zero, backOff.Remaining);
        }

        backOff.Succeeded();
        backOff.Failed();
        Assert.Equal(PoolBackOff.First, backOff.Remaining);
    }
}
