using OpenSandbox.Host.Records;
using OpenSandbox.Host.Scaling;

namespace OpenSandbox.Host.Tests;

public sealed class AutoscaleRuleTests
{
    private const long Mib = 1 << 20;
    private readonly ManualClock _clock = new();
    private readonly AutoscaleSettings _settings = new(true, 512, 4_096);

    [Fact]
    public void Decide_FullForAMinute_Doubles()
    {
        var trend = new MemoryTrend(_clock);
        Watch(trend, 800, TimeSpan.FromSeconds(50));
        Assert.Null(Decide(trend, 1_024));
        Watch(trend, 800, TimeSpan.FromSeconds(20));
        Assert.Equal(2_048, Decide(trend, 1_024));
    }

    [Fact]
    public void Decide_OneSpike_Stays()
    {
        var trend = new MemoryTrend(_clock);
        Watch(trend, 300, TimeSpan.FromMinutes(2));
        Watch(trend, 1_000, TimeSpan.FromSeconds(10));
        Assert.Null(Decide(trend, 1_024));
    }

    [Fact]
    public void Decide_FullAtTheLargestSize_Stays()
    {
        var trend = new MemoryTrend(_clock);
        Watch(trend, 4_000, TimeSpan.FromMinutes(2));
        Assert.Null(Decide(trend, 4_096));
        Assert.Equal(4_096, Decide(trend, 3_072));
    }

    [Fact]
    public void Decide_JustScaled_WaitsForTheCooldown()
    {
        var trend = new MemoryTrend(_clock);
        Watch(trend, 1_900, TimeSpan.FromMinutes(5));
        trend.ScaledAt = _clock.GetTimestamp();
        Watch(trend, 1_900, TimeSpan.FromSeconds(50));
        Assert.Null(Decide(trend, 2_048));
        Watch(trend, 1_900, TimeSpan.FromSeconds(20));
        Assert.Equal(4_096, Decide(trend, 2_048));
    }

    [Fact]
    public void Decide_EmptyForAQuarterOfAnHour_Halves()
    {
        var trend = new MemoryTrend(_clock);
        Watch(trend, 100, TimeSpan.FromMinutes(14));
        Assert.Null(Decide(trend, 2_048));
        Watch(trend, 100, TimeSpan.FromMinutes(2));
        Assert.Equal(1_024, Decide(trend, 2_048));
        trend.ScaledAt = _clock.GetTimestamp();
        Watch(trend, 100, TimeSpan.FromMinutes(4));
        Assert.Null(Decide(trend, 1_024));
        Watch(trend, 100, TimeSpan.FromMinutes(2));
        Assert.Equal(512, Decide(trend, 1_024));
        trend.ScaledAt = null;
        Assert.Null(Decide(trend, 512));
    }

    [Fact]
    public void Decide_BusyEarlier_DoesNotShrink()
    {
        var trend = new MemoryTrend(_clock);
        Watch(trend, 1_000, TimeSpan.FromMinutes(9));
        Watch(trend, 100, TimeSpan.FromMinutes(6));
        Assert.Null(Decide(trend, 2_048));
    }

    [Fact]
    public void Decide_BelowTheSmallestSize_Grows() => Assert.Equal(512, Decide(new MemoryTrend(_clock), 256));

    private int? Decide(MemoryTrend trend, int memoryMib) => AutoscaleRule.Decide(_settings, memoryMib, memoryMib * Mib, trend, _clock);

    private void Watch(MemoryTrend trend, int usedMib, TimeSpan time)
    {
        for (TimeSpan passed = TimeSpan.Zero; passed < time; passed += TimeSpan.FromSeconds(10))
        {
            trend.Add(usedMib * Mib);
            _clock.Advance(TimeSpan.FromSeconds(10));
        }

        trend.Add(usedMib * Mib);
    }
}
