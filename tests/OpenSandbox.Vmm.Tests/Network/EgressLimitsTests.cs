using System.Net.Sockets;

namespace OpenSandbox.Vmm.Tests.Network;

public sealed class EgressLimitsTests
{
    private static readonly EgressPolicy s_loopback = EgressPolicy.AllowOnly("127.0.0.1");

    [Fact]
    public async Task Connections_TooManyAtOnce_AreRefusedUntilOneEnds()
    {
        using var listener = new Listener();
        await using EgressGateway gateway = Gateways.Make(s_loopback, limits: new EgressLimits { MaxConnections = 2 });
        using EgressConnection first = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using EgressConnection second = await gateway.ConnectAsync(listener.Address, Limits.Token);

        EgressRefusedException refused = await Assert.ThrowsAsync<EgressRefusedException>(
            async () => await gateway.ConnectAsync(listener.Address, Limits.Token));
        first.Dispose();
        using EgressConnection third = await gateway.ConnectAsync(listener.Address, Limits.Token);

        Assert.Equal(EgressRefusalReason.ConcurrencyLimit, refused.Reason);
        Assert.Equal((3, 2, 1), (gateway.Statistics.ConnectionsOpened, gateway.Statistics.ConnectionsActive, gateway.Statistics.ConnectionsRefused));
    }

    [Fact]
    public async Task Connections_RefusedAndFailed_TakeNoPlace()
    {
        using var listener = new Listener();
        using var gone = new Listener();
        System.Net.IPEndPoint nobody = gone.Address;
        gone.Dispose();
        await using EgressGateway gateway = Gateways.Make(s_loopback, limits: new EgressLimits { MaxConnections = 1 });

        for (int i = 0; i < 5; i++)
        {
            await Assert.ThrowsAsync<EgressRefusedException>(async () => await gateway.ConnectAsync(Gateways.At("10.0.0.1", 80), Limits.Token));
            await Assert.ThrowsAsync<EgressConnectException>(async () => await gateway.ConnectAsync(nobody, Limits.Token));
        }

        using EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
    }

    [Fact]
    public async Task Connections_TooManyInASecond_AreRefusedUntilTimeGoesOn()
    {
        using var listener = new Listener();
        var clock = new ManualClock();
        await using EgressGateway gateway = Gateways.Make(s_loopback, limits: new EgressLimits { ConnectionsPerSecond = 10 }, time: clock);
        for (int i = 0; i < 10; i++)
        {
            (await gateway.ConnectAsync(listener.Address, Limits.Token)).Dispose();
        }

        EgressRefusedException refused = await Assert.ThrowsAsync<EgressRefusedException>(
            async () => await gateway.ConnectAsync(listener.Address, Limits.Token));
        clock.Advance(TimeSpan.FromMilliseconds(100));
        (await gateway.ConnectAsync(listener.Address, Limits.Token)).Dispose();

        Assert.Equal(EgressRefusalReason.RateLimit, refused.Reason);
    }

    [Fact]
    public async Task Refusals_ByLimits_DoNotFloodTheRing()
    {
        var clock = new ManualClock();
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.DenyAll, limits: new EgressLimits { ConnectionsPerSecond = 1 }, time: clock);
        for (int i = 0; i < 1_000; i++)
        {
            await Assert.ThrowsAsync<EgressRefusedException>(async () => await gateway.ConnectAsync(Gateways.At("1.1.1.1", 80), Limits.Token));
        }

        Assert.Equal(1_000, gateway.Statistics.ConnectionsRefused);
        Assert.Equal(5, gateway.RecentRefusals.Count);
        Assert.Equal(EgressRefusalReason.Policy, gateway.RecentRefusals[0].Reason);
    }

    [Fact]
    public async Task Bandwidth_ToTheNetwork_KeepsItsRate()
    {
        using var listener = new Listener();
        var clock = new ManualClock();
        await using EgressGateway gateway = Gateways.Make(s_loopback, limits: new EgressLimits { SendBytesPerSecond = 20_000 }, time: clock);
        using EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket remote = await listener.AcceptAsync();

        // Pieces of a twentieth of a second: the first is free, each further one takes 50 ms.
        Task sending = connection.SendAsync(new byte[5_000], Limits.Token).AsTask();
        for (int piece = 1; piece <= 4; piece++)
        {
            await clock.TimersAsync(1);
            Assert.Equal(piece * 1_000, gateway.Statistics.BytesSent);
            clock.Advance(TimeSpan.FromMilliseconds(49));
            Assert.False(sending.IsCompleted);
            clock.Advance(TimeSpan.FromMilliseconds(1));
        }

        await sending.WaitAsync(Limits.Wait);
        Assert.Equal(TimeSpan.FromMilliseconds(200), clock.GetElapsedTime(0));
        Assert.Equal(5_000, gateway.Statistics.BytesSent);
    }

    [Fact]
    public async Task Bandwidth_FromTheNetwork_IsSharedByAllConnections()
    {
        using var listener = new Listener();
        var clock = new ManualClock();
        await using EgressGateway gateway = Gateways.Make(s_loopback, limits: new EgressLimits { ReceiveBytesPerSecond = 20_000 }, time: clock);
        using EgressConnection first = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket firstRemote = await listener.AcceptAsync();
        using EgressConnection second = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket secondRemote = await listener.AcceptAsync();
        await firstRemote.SendAsync(new byte[3_000]);
        await secondRemote.SendAsync(new byte[3_000]);
        byte[] buffer = new byte[65_536];

        Assert.Equal(1_000, await first.ReceiveAsync(buffer, Limits.Token));
        Task<int> next = second.ReceiveAsync(new byte[65_536], Limits.Token).AsTask();
        await clock.TimersAsync(1);
        Task<int> last = first.ReceiveAsync(buffer, Limits.Token).AsTask();
        await clock.TimersAsync(2);
        clock.Advance(TimeSpan.FromMilliseconds(50));

        Assert.Equal(1_000, await next.WaitAsync(Limits.Wait));
        Assert.False(last.IsCompleted);
        clock.Advance(TimeSpan.FromMilliseconds(50));
        Assert.Equal(1_000, await last.WaitAsync(Limits.Wait));
    }

    [Fact]
    public async Task Bandwidth_ConnectionEndsWhileWaiting_DoesNotWaitOn()
    {
        using var listener = new Listener();
        var clock = new ManualClock();
        await using EgressGateway gateway = Gateways.Make(s_loopback, limits: new EgressLimits { SendBytesPerSecond = 1_024 }, time: clock);
        using EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        Task sending = connection.SendAsync(new byte[10_000], Limits.Token).AsTask();
        await clock.TimersAsync(1);

        gateway.Policy = EgressPolicy.DenyAll;

        EgressConnectionException gone = await Assert.ThrowsAsync<EgressConnectionException>(() => sending.WaitAsync(Limits.Wait));
        Assert.Equal(EgressConnectionEnd.PolicyChanged, gone.End);
    }

    [Fact]
    public void RateBucket_Burst_ThenTheRate()
    {
        var clock = new ManualClock();
        var bucket = new RateBucket(3, 3, clock);
        Assert.Equal([true, true, true, false], Enumerable.Range(0, 4).Select(_ => bucket.TryTake()));

        clock.Advance(TimeSpan.FromMilliseconds(334));
        Assert.Equal([true, false], Enumerable.Range(0, 2).Select(_ => bucket.TryTake()));

        clock.Advance(TimeSpan.FromHours(1));
        Assert.Equal([true, true, true, false], Enumerable.Range(0, 4).Select(_ => bucket.TryTake()));
    }

    [Fact]
    public void RateBucket_TakenInAdvance_IsPaidInOrder()
    {
        var bucket = new RateBucket(1_000, 100, new ManualClock());

        Assert.Equal([0, 100, 200, 250], ((int[])[100, 100, 100, 50]).Select(units => bucket.Take(units).TotalMilliseconds));
    }

    [Theory]
    [InlineData(0, 1, 1, 1)]
    [InlineData(65_537, 1, 1, 1)]
    [InlineData(1, 0, 1, 1)]
    [InlineData(1, 1, 0, 1)]
    [InlineData(1, 1, 1, 0)]
    [InlineData(1, 1, 1, 1_025)]
    public void Limits_OutOfRange_AreRefused(int connections, int connectionRate, int queryRate, int queries) => Assert.Throws<ArgumentOutOfRangeException>(() =>
        new EgressLimits
        {
            MaxConnections = connections,
            ConnectionsPerSecond = connectionRate,
            DnsQueriesPerSecond = queryRate,
            MaxConcurrentDnsQueries = queries,
        }.Validate());

    [Fact]
    public void Limits_Bandwidth_HasALowestValue()
    {
        new EgressLimits { SendBytesPerSecond = 1_024, ReceiveBytesPerSecond = 1L << 40 }.Validate();
        Assert.Throws<ArgumentOutOfRangeException>(() => new EgressLimits { SendBytesPerSecond = 1_023 }.Validate());
        Assert.Throws<ArgumentOutOfRangeException>(() => new EgressLimits { ReceiveBytesPerSecond = 0 }.Validate());
    }
}
