using System.Net;

namespace OpenSandbox.Vmm.Tests.Network;

public sealed class ResolvedNamesTests
{
    private static readonly IPAddress s_address = IPAddress.Parse("93.184.215.14");

    [Theory]
    [InlineData(1, 360)]
    [InlineData(60, 360)]
    [InlineData(300, 600)]
    public void Name_IsGoodForItsTimeAndTheGrace(int timeToLive, int seconds)
    {
        var clock = new ManualClock();
        var names = new ResolvedNames(clock);
        names.Add("example.org", [s_address], TimeSpan.FromSeconds(timeToLive));

        clock.Advance(TimeSpan.FromSeconds(seconds) - TimeSpan.FromTicks(1));
        Assert.Equal(["example.org"], names.Of(s_address));

        clock.Advance(TimeSpan.FromTicks(1));
        Assert.Empty(names.Of(s_address));
        Assert.Equal(0, names.Count);
    }

    [Fact]
    public void Name_ToldAgain_IsGoodForLongerAndNeverForLess()
    {
        var clock = new ManualClock();
        var names = new ResolvedNames(clock);
        names.Add("example.org", [s_address], TimeSpan.FromSeconds(300));
        names.Add("example.org", [s_address], TimeSpan.FromSeconds(1));
        clock.Advance(TimeSpan.FromSeconds(599));
        Assert.Single(names.Of(s_address));

        names.Add("example.org", [s_address], TimeSpan.FromSeconds(1));
        clock.Advance(TimeSpan.FromSeconds(359));
        Assert.Single(names.Of(s_address));
        Assert.Equal(1, names.Count);
    }

    [Fact]
    public void Address_ManyNames_KeepsTheLatest()
    {
        var names = new ResolvedNames(new ManualClock());
        for (int i = 0; i < 100; i++)
        {
            names.Add($"n{i}.example.org", [s_address], TimeSpan.FromSeconds(60));
        }

        Assert.Equal(Enumerable.Range(0, 16).Select(static i => $"n{99 - i}.example.org"), names.Of(s_address));
        Assert.Equal(16, names.Count);
    }

    [Fact]
    public void Table_Full_LosesWhatWasToldLongestAgo()
    {
        var names = new ResolvedNames(new ManualClock());
        IPAddress[] addresses = [.. Enumerable.Range(0, ResolvedNames.Capacity + 10).Select(static i => new IPAddress([9, 1, (byte)(i >> 8), (byte)i]))];
        names.Add("first.example.org", addresses[..5], TimeSpan.FromSeconds(60));
        names.Add("example.org", addresses[5..^10], TimeSpan.FromSeconds(60));
        names.Add("first.example.org", addresses[..5], TimeSpan.FromSeconds(60));

        names.Add("late.example.org", addresses[^10..], TimeSpan.FromSeconds(60));

        Assert.Equal(ResolvedNames.Capacity, names.Count);
        Assert.All(addresses[..5], address => Assert.Single(names.Of(address)));
        Assert.All(addresses[5..15], address => Assert.Empty(names.Of(address)));
        Assert.All(addresses[15..], address => Assert.Single(names.Of(address)));
    }

    [Fact]
    public void Forms_OfAnAddress_AreDifferentAddresses()
    {
        var names = new ResolvedNames(new ManualClock());
        names.Add("example.org", [s_address], TimeSpan.FromSeconds(60));

        Assert.Empty(names.Of(s_address.MapToIPv6()));
    }
}
