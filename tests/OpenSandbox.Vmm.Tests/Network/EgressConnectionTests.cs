using System.Net;
using System.Net.Sockets;
using System.Text;

namespace OpenSandbox.Vmm.Tests.Network;

/// <summary>Connections over real sockets on loopback, which rules for its addresses open.</summary>
public sealed class EgressConnectionTests
{
    private static readonly EgressPolicy s_loopback = EgressPolicy.AllowOnly("127.0.0.1/32", "::1");

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    public async Task Connection_BothDirections_CarryBytesAndCountThem(string address)
    {
        using var listener = new Listener(address);
        await using EgressGateway gateway = Gateways.Make(s_loopback);
        using EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket remote = await listener.AcceptAsync();

        await connection.SendAsync("ping"u8.ToArray(), Limits.Token);
        Assert.Equal("ping", await ReadAsync(remote, 4));
        await remote.SendAsync("pong!"u8.ToArray());
        await connection.WaitToReceiveAsync(Limits.Token);
        byte[] buffer = new byte[100];
        int count = await connection.ReceiveAsync(buffer, Limits.Token);

        Assert.Equal("pong!", Encoding.ASCII.GetString(buffer, 0, count));
        EgressStatistics statistics = gateway.Statistics;
        Assert.Equal((1, 1, 4, 5), (statistics.ConnectionsOpened, statistics.ConnectionsActive, statistics.BytesSent, statistics.BytesReceived));
        Assert.Equal(listener.Address, connection.Target);
    }

    [Fact]
    public async Task Connection_HalfClosedByTheGuest_StillReceives()
    {
        using var listener = new Listener();
        await using EgressGateway gateway = Gateways.Make(s_loopback);
        using EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket remote = await listener.AcceptAsync();

        await connection.SendAsync("request"u8.ToArray(), Limits.Token);
        connection.ShutdownSend();

        Assert.Equal("request", await ReadAsync(remote, 7));
        Assert.Equal(0, await remote.ReceiveAsync(new byte[1], SocketFlags.None, Limits.Token));
        await remote.SendAsync("answer"u8.ToArray());
        byte[] buffer = new byte[6];
        Assert.Equal(6, await connection.ReceiveAsync(buffer, Limits.Token));
        Assert.Null(connection.End);
    }

    [Fact]
    public async Task Connection_HalfClosedByTheRemote_StillSends()
    {
        using var listener = new Listener();
        await using EgressGateway gateway = Gateways.Make(s_loopback);
        using EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket remote = await listener.AcceptAsync();

        remote.Shutdown(SocketShutdown.Send);
        Assert.Equal(0, await connection.ReceiveAsync(new byte[10], Limits.Token));
        Assert.Equal(0, await connection.ReceiveAsync(new byte[10], Limits.Token));
        await connection.SendAsync("late"u8.ToArray(), Limits.Token);

        Assert.Equal("late", await ReadAsync(remote, 4));
    }

    [Fact]
    public async Task Connection_Aborted_TheRemoteSeesAReset()
    {
        using var listener = new Listener();
        await using EgressGateway gateway = Gateways.Make(s_loopback);
        EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket remote = await listener.AcceptAsync();

        connection.Abort();

        SocketException reset = await Assert.ThrowsAsync<SocketException>(async () => await remote.ReceiveAsync(new byte[1], SocketFlags.None, Limits.Token));
        Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        Assert.True(connection.Ended.IsCancellationRequested);
        Assert.Equal(0, gateway.Statistics.ConnectionsActive);
    }

    [Fact]
    public async Task Connection_Disposed_TheRemoteSeesAnOrderlyEnd()
    {
        using var listener = new Listener();
        await using EgressGateway gateway = Gateways.Make(s_loopback);
        EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket remote = await listener.AcceptAsync();

        connection.Dispose();
        connection.Dispose();

        Assert.Equal(0, await remote.ReceiveAsync(new byte[1], SocketFlags.None, Limits.Token));
        Assert.Equal(0, gateway.Statistics.ConnectionsActive);
    }

    [Fact]
    public async Task Connection_ResetByTheRemote_SaysSo()
    {
        using var listener = new Listener();
        await using EgressGateway gateway = Gateways.Make(s_loopback);
        using EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        Socket remote = await listener.AcceptAsync();

        remote.LingerState = new LingerOption(true, 0);
        remote.Dispose();

        EgressConnectionException gone = await Assert.ThrowsAsync<EgressConnectionException>(
            async () => await connection.ReceiveAsync(new byte[1], Limits.Token));
        Assert.Equal(EgressConnectionEnd.RemoteReset, gone.End);
        Assert.Equal(EgressConnectionEnd.RemoteReset, connection.End);
        await Assert.ThrowsAsync<EgressConnectionException>(async () => await connection.SendAsync(new byte[1], Limits.Token));
    }

    [Fact]
    public async Task Connection_AbortedWhileReceiving_EndsTheReceive()
    {
        using var listener = new Listener();
        await using EgressGateway gateway = Gateways.Make(s_loopback);
        EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket remote = await listener.AcceptAsync();
        Task<int> receiving = connection.ReceiveAsync(new byte[1], CancellationToken.None).AsTask();

        connection.Abort();

        EgressConnectionException gone = await Assert.ThrowsAsync<EgressConnectionException>(() => receiving.WaitAsync(Limits.Wait));
        Assert.Equal(EgressConnectionEnd.Aborted, gone.End);
    }

    [Fact]
    public async Task Connection_SendsAtOnce_WithoutNagle()
    {
        using var listener = new Listener();
        await using EgressGateway gateway = Gateways.Make(s_loopback);
        using EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket remote = await listener.AcceptAsync();

        for (int i = 0; i < 3; i++)
        {
            await connection.SendAsync(new byte[] { (byte)i }, Limits.Token);
            Assert.Equal(1, await remote.ReceiveAsync(new byte[10], SocketFlags.None, Limits.Token));
        }
    }

    [Fact]
    public async Task Connect_NobodyListens_FailsWithTheNetworksError()
    {
        IPEndPoint gone;
        using (var listener = new Listener())
        {
            gone = listener.Address;
        }

        await using EgressGateway gateway = Gateways.Make(s_loopback);

        EgressConnectException failure = await Assert.ThrowsAsync<EgressConnectException>(async () => await gateway.ConnectAsync(gone, Limits.Token));

        Assert.Equal(SocketError.ConnectionRefused, failure.Error);
        EgressStatistics statistics = gateway.Statistics;
        Assert.Equal((0, 0, 0, 1), (statistics.ConnectionsOpened, statistics.ConnectionsActive, statistics.ConnectionsRefused, statistics.ConnectionsFailed));
    }

    [Fact]
    public async Task Connect_NobodyAnswers_EndsWithTheDeadline()
    {
        // A full backlog: the kernel drops further handshakes without a word.
        using var full = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        full.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        full.Listen(0);
        var clock = new ManualClock();
        await using EgressGateway gateway = Gateways.Make(s_loopback, time: clock);
        var address = (IPEndPoint)full.LocalEndPoint!;
        using EgressConnection first = await gateway.ConnectAsync(address, Limits.Token);
        Task<EgressConnection> stuck = gateway.ConnectAsync(address, Limits.Token).AsTask();
        await clock.TimersAsync(1);
        Assert.False(stuck.IsCompleted);

        clock.Advance(TimeSpan.FromSeconds(10));

        EgressConnectException failure = await Assert.ThrowsAsync<EgressConnectException>(() => stuck.WaitAsync(Limits.Wait));
        Assert.Equal(SocketError.TimedOut, failure.Error);
    }

    [Fact]
    public async Task Connect_Cancelled_GivesThePlaceBack()
    {
        using var full = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        full.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        full.Listen(0);
        await using EgressGateway gateway = Gateways.Make(s_loopback, limits: new EgressLimits { MaxConnections = 2 });
        var address = (IPEndPoint)full.LocalEndPoint!;
        using EgressConnection first = await gateway.ConnectAsync(address, Limits.Token);
        using var stop = new CancellationTokenSource();
        Task<EgressConnection> stuck = gateway.ConnectAsync(address, stop.Token).AsTask();

        await stop.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => stuck.WaitAsync(Limits.Wait));
        using var listener = new Listener();
        using EgressConnection second = await gateway.ConnectAsync(listener.Address, Limits.Token);
    }

    [Fact]
    public async Task Connect_NotAllowed_NothingReachesTheListener()
    {
        using var listener = new Listener();
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic);

        EgressRefusedException refused = await Assert.ThrowsAsync<EgressRefusedException>(
            async () => await gateway.ConnectAsync(listener.Address, Limits.Token));

        Assert.Equal(EgressRefusalReason.GuardedAddress, refused.Reason);
        EgressRefusal refusal = Assert.Single(gateway.RecentRefusals);
        Assert.Equal(
            (1, EgressRefusalKind.Connect, EgressRefusalReason.GuardedAddress, "127.0.0.1", listener.Address.Port, "loopback"),
            (refusal.Sequence, refusal.Kind, refusal.Reason, refusal.Target, refusal.Port, refusal.Detail));
        gateway.Policy = s_loopback;
        using EgressConnection allowed = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket first = await listener.AcceptAsync();
        Assert.Equal(first.RemoteEndPoint!.AddressFamily, allowed.Target.AddressFamily);
        Assert.Equal(1, gateway.Statistics.ConnectionsRefused);
    }

    [Theory]
    [InlineData("127.0.0.1", 0, EgressRefusalReason.Malformed)]
    [InlineData("0.0.0.0", 80, EgressRefusalReason.GuardedAddress)]
    [InlineData("::ffff:127.0.0.1", 80, EgressRefusalReason.GuardedAddress)]
    [InlineData("127.0.0.2", 80, EgressRefusalReason.GuardedAddress)]
    [InlineData("fe80::1%1", 80, EgressRefusalReason.GuardedAddress)]
    [InlineData("93.184.215.14", 80, EgressRefusalReason.Policy)]
    public async Task Connect_Refused_SaysWhy(string address, int port, EgressRefusalReason reason)
    {
        await using EgressGateway gateway = Gateways.Make(s_loopback);

        EgressRefusedException refused = await Assert.ThrowsAsync<EgressRefusedException>(
            async () => await gateway.ConnectAsync(Gateways.At(address, port), Limits.Token));

        Assert.Equal(reason, refused.Reason);
    }

    [Fact]
    public async Task Connect_PublicByTheListButDeliveredHere_IsRefused()
    {
        await using EgressGateway gateway = Gateways.Make(
            EgressPolicy.AllowPublic, more: static o => o with { LeadsHere = static address => address.ToString() == "93.184.215.14" });

        EgressRefusedException refused = await Assert.ThrowsAsync<EgressRefusedException>(
            async () => await gateway.ConnectAsync(Gateways.At("93.184.215.14", 80), Limits.Token));

        Assert.Equal(EgressRefusalReason.GuardedAddress, refused.Reason);
        Assert.Equal("delivered to the host itself", Assert.Single(gateway.RecentRefusals).Detail);
    }

    [Fact]
    public async Task NameRule_OnAddressesTold_HoldsForConnections()
    {
        using var listener = new Listener();
        await using var server = DnsTestServer.With("127.0.0.1");
        EgressPolicy policy = EgressPolicy.Parse(EgressAction.Allow, $"deny blocked.example.org:{listener.Address.Port}", "allow 127.0.0.1");
        await using EgressGateway gateway = Gateways.Make(policy, server.Address);
        (await gateway.ConnectAsync(listener.Address, Limits.Token)).Dispose();

        Assert.Equal(["192.0.0.1"], (await gateway.AskAsync("blocked.example.org")).Addresses);

        await Assert.ThrowsAsync<EgressRefusedException>(async () => await gateway.ConnectAsync(listener.Address, Limits.Token));
        EgressRefusal refusal = Assert.Single(gateway.RecentRefusals);
        Assert.Equal(["blocked.example.org"], refusal.Names);
        Assert.Equal(policy.Rules[0], refusal.Rule);
    }

    [Fact]
    public async Task Policy_ChangedWhileOpen_ResetsWhatItDoesNotAllow()
    {
        using var kept = new Listener();
        using var closed = new Listener();
        await using EgressGateway gateway = Gateways.Make(s_loopback);
        using EgressConnection keptConnection = await gateway.ConnectAsync(kept.Address, Limits.Token);
        using EgressConnection closedConnection = await gateway.ConnectAsync(closed.Address, Limits.Token);
        using Socket keptRemote = await kept.AcceptAsync();
        using Socket closedRemote = await closed.AcceptAsync();
        Task<int> receiving = closedConnection.ReceiveAsync(new byte[1], CancellationToken.None).AsTask();

        gateway.Policy = EgressPolicy.AllowOnly($"127.0.0.1:{kept.Address.Port}");

        EgressConnectionException gone = await Assert.ThrowsAsync<EgressConnectionException>(() => receiving.WaitAsync(Limits.Wait));
        Assert.Equal(EgressConnectionEnd.PolicyChanged, gone.End);
        Assert.True(closedConnection.Ended.IsCancellationRequested);
        SocketException reset = await Assert.ThrowsAsync<SocketException>(async () => await closedRemote.ReceiveAsync(new byte[1], SocketFlags.None, Limits.Token));
        Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        await keptConnection.SendAsync("on"u8.ToArray(), Limits.Token);
        Assert.Equal("on", await ReadAsync(keptRemote, 2));
        EgressRefusal refusal = Assert.Single(gateway.RecentRefusals);
        Assert.Equal((EgressRefusalReason.PolicyChanged, closed.Address.Port), (refusal.Reason, refusal.Port));
        Assert.Equal((1, 1), (gateway.Statistics.ConnectionsActive, gateway.Statistics.ConnectionsClosedByPolicy));
    }

    [Fact]
    public async Task Policy_ChangedBetweenDecisionAndConnection_IsJudgedByTheNewOne()
    {
        using var listener = new Listener();
        var clock = new ManualClock();
        await using EgressGateway gateway = Gateways.Make(s_loopback, time: clock);
        // The deadline of connecting starts when the decision has been made.
        clock.TimerStarting = () => gateway.Policy = EgressPolicy.DenyAll;

        EgressRefusedException refused = await Assert.ThrowsAsync<EgressRefusedException>(
            async () => await gateway.ConnectAsync(listener.Address, Limits.Token));

        Assert.Equal(EgressRefusalReason.GuardedAddress, refused.Reason);
        using Socket remote = await listener.AcceptAsync();
        await Assert.ThrowsAsync<SocketException>(async () => await remote.ReceiveAsync(new byte[1], SocketFlags.None, Limits.Token));
        Assert.Equal((0, 0), (gateway.Statistics.ConnectionsOpened, gateway.Statistics.ConnectionsActive));
    }

    [Fact]
    public async Task Policy_ChangedAgainAndAgainWhileConnecting_NeverLeavesARefusedConnectionOpen()
    {
        using var listener = new Listener();
        await using EgressGateway gateway = Gateways.Make(s_loopback);
        var open = new List<EgressConnection>();
        for (int i = 0; i < 50; i++)
        {
            Task<EgressConnection> connecting = Task.Run(async () => await gateway.ConnectAsync(listener.Address, Limits.Token));
            gateway.Policy = EgressPolicy.DenyAll;
            try
            {
                open.Add(await connecting);
            }
            catch (EgressRefusedException)
            {
                // The new policy was first.
            }

            Assert.Equal(0, gateway.Statistics.ConnectionsActive);
            gateway.Policy = s_loopback;
        }

        Assert.All(open, static connection => Assert.Equal(EgressConnectionEnd.PolicyChanged, connection.End));
        Assert.Equal(50, gateway.Statistics.ConnectionsRefused + gateway.Statistics.ConnectionsClosedByPolicy);
    }

    [Fact]
    public async Task Gateway_Disposed_ResetsAndRefuses()
    {
        using var listener = new Listener();
        EgressGateway gateway = Gateways.Make(s_loopback);
        EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token);
        using Socket remote = await listener.AcceptAsync();

        await gateway.DisposeAsync();
        await gateway.DisposeAsync();

        await Assert.ThrowsAsync<SocketException>(async () => await remote.ReceiveAsync(new byte[1], SocketFlags.None, Limits.Token));
        await Assert.ThrowsAsync<EgressConnectionException>(async () => await connection.ReceiveAsync(new byte[1], Limits.Token));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await gateway.ConnectAsync(listener.Address, Limits.Token));
        await Assert.ThrowsAsync<ObjectDisposedException>(async () => await gateway.ResolveAsync(Wire.Query("example.org"), false, Limits.Token));
        Assert.Equal(1, gateway.Statistics.ConnectionsOpened);
    }

    [Fact]
    public async Task Gateway_ManyRequestsAtOnceAndDisposedInBetween_LeavesNothing()
    {
        using var listener = new Listener();
        await using var server = DnsTestServer.With("93.184.215.14");
        EgressGateway gateway = Gateways.Make(s_loopback, server.Address, new EgressLimits { MaxConnections = 8, ConnectionsPerSecond = 100_000, DnsQueriesPerSecond = 100_000 });
        EgressPolicy[] policies = [s_loopback, EgressPolicy.DenyAll, EgressPolicy.AllowPublic with { Rules = s_loopback.Rules }];
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int operations = 0;
        Task[] guests = [.. Enumerable.Range(0, 16).Select(seed => Task.Run(async () =>
        {
            var random = new Random(seed);
            byte[] buffer = new byte[4];
            for (int i = 0; i < 100_000; i++)
            {
                if (Interlocked.Increment(ref operations) == 400)
                {
                    started.TrySetResult();
                }

                try
                {
                    switch (random.Next(4))
                    {
                        case 0:
                            gateway.Policy = policies[random.Next(policies.Length)];
                            break;
                        case 1:
                            await gateway.ResolveAsync(Wire.Query($"n{i}.example.org"), overTcp: false, Limits.Token);
                            break;
                        default:
                            using (EgressConnection connection = await gateway.ConnectAsync(listener.Address, Limits.Token))
                            {
                                await connection.SendAsync(buffer, Limits.Token);
                                if (random.Next(2) == 0)
                                {
                                    connection.Abort();
                                }
                            }

                            break;
                    }
                }
                catch (Exception expected) when (expected is EgressRefusedException or EgressConnectException or EgressConnectionException)
                {
                    // Refused, reset or not reachable: all of them are answers.
                }
                catch (ObjectDisposedException)
                {
                    return;
                }
            }
        }))];
        Task accepting = Task.Run(async () =>
        {
            try
            {
                while (true)
                {
                    (await listener.AcceptAsync()).Dispose();
                }
            }
            catch (Exception ended) when (ended is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                // The test is over.
            }
        });
        await started.Task.WaitAsync(Limits.Wait);

        await gateway.DisposeAsync().AsTask().WaitAsync(Limits.Wait);
        await Task.WhenAll(guests).WaitAsync(Limits.Wait);

        Assert.Equal(0, gateway.Statistics.ConnectionsActive);
        listener.Dispose();
        await accepting.WaitAsync(Limits.Wait);
    }

    private static async Task<string> ReadAsync(Socket socket, int count)
    {
        byte[] buffer = new byte[count];
        int have = 0;
        while (have < count)
        {
            int more = await socket.ReceiveAsync(buffer.AsMemory(have), SocketFlags.None, Limits.Token);
            Assert.NotEqual(0, more);
            have += more;
        }

        return Encoding.ASCII.GetString(buffer);
    }
}
