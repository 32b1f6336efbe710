using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Vmm.Tests.Network;

/// <summary>Upstream servers that lie, fail, are slow or are gone.</summary>
public sealed class DnsUpstreamTests
{
    private const string Public = "93.184.215.14";
    private const string Evil = "45.9.9.9";

    public static TheoryData<string> Lies =>
    [
        "wrong id", "wrong name", "wrong type", "wrong class", "a query", "no question", "two questions", "another operation", "short", "empty",
    ];

    [Theory]
    [MemberData(nameof(Lies))]
    public async Task Reply_ToAnotherQuestion_IsNotCounted(string lie)
    {
        await using var server = new DnsTestServer(query => [Lie(query, lie), Wire.Reply(query.Id, query.Name, query.Type, 0, Wire.Address(query.Name, Public))]);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        WireMessage answer = await gateway.AskAsync("example.org");

        Assert.Equal([Public], answer.Addresses);
    }

    [Theory]
    [MemberData(nameof(Lies))]
    public async Task Reply_NothingButLies_IsAServerFailure(string lie)
    {
        await using var server = new DnsTestServer(query => Enumerable.Repeat(Lie(query, lie), 16));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        WireMessage answer = await gateway.AskAsync("example.org");

        Assert.Equal((2, 0), (answer.Code, answer.Records.Count));
        Assert.Equal(1, gateway.Statistics.DnsFailed);
    }

    public static TheoryData<string, byte[][], int> Broken => new()
    {
        { "a record that is not there", [], 1 },
        { "65,535 records that are not there", [Wire.Address("example.org", Evil)], 65_535 },
        { "a pointer to itself", [[0xC0, 29, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]], 1 },
        { "a pointer forward", [[0xC0, 40, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]], 1 },
        { "pointers in a circle", [[1, (byte)'a', 0xC0, 29, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]], 1 },
        { "a pointer to the header, which is no name", [[0xC0, 2, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]], 1 },
        { "an address of three bytes", [Wire.Record("example.org", Wire.A, 9, [1, 2, 3])], 1 },
        { "an address of sixteen bytes", [Wire.Record("example.org", Wire.A, 9, new byte[16])], 1 },
        { "data that ends behind the message", [Wire.Record("example.org", Wire.A, 9, new byte[4])[..^1]], 1 },
        { "an alias with bytes behind its name", [Wire.Record("example.org", Wire.Cname, 9, [.. Wire.Name("a.b"), 0])], 1 },
        { "an alias that ends behind its data", [Wire.Record("example.org", Wire.Cname, 9, [3, 65, 66])], 1 },
        { "an alias to itself", [Wire.Alias("example.org", "example.org")], 1 },
        { "aliases in a circle", [Wire.Alias("example.org", "a.example.org"), Wire.Alias("a.example.org", "example.org")], 2 },
        { "a chain of 17", [.. Enumerable.Range(0, 17).Select(static i => Wire.Alias(i == 0 ? "example.org" : $"a{i}.org", $"a{i + 1}.org"))], 17 },
    };

    [Theory]
    [MemberData(nameof(Broken))]
    public async Task Reply_BrokenInside_IsAServerFailureAtOnce(string what, byte[][] records, int count)
    {
        Assert.NotEmpty(what);
        await using var server = DnsTestServer.Answering(query => Wire.Reply(query.Id, query.Name, query.Type, 0x8180, count, records));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        WireMessage answer = await gateway.AskAsync("example.org");

        Assert.Equal((2, 0), (answer.Code, answer.Records.Count));
    }

    [Fact]
    public async Task Reply_ChainOfSixteen_IsFollowed()
    {
        await using var server = DnsTestServer.Answering(static query => Wire.Reply(
            query.Id,
            query.Name,
            query.Type,
            0,
            [.. Enumerable.Range(0, 16).Select(i => Wire.Alias(i == 0 ? query.Name : $"a{i}.org", $"a{i + 1}.org")), Wire.Address("a16.org", Public)]));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        Assert.Equal([Public], (await gateway.AskAsync("example.org", overTcp: true)).Addresses);
    }

    [Fact]
    public async Task Reply_NameThatDoesNotExist_IsPassedOn()
    {
        await using var server = DnsTestServer.Answering(static query => Wire.Reply(query.Id, query.Name, query.Type, 3));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        Assert.Equal(3, (await gateway.AskAsync("example.org")).Code);
        Assert.Equal((0, 0), (gateway.Statistics.DnsRefused, gateway.Statistics.DnsFailed));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(5)]
    public async Task Servers_FirstFails_TheNextIsAsked(int code)
    {
        await using var first = DnsTestServer.Answering(query => Wire.Reply(query.Id, query.Name, query.Type, code));
        await using var second = DnsTestServer.With(Public);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, more: o => o with { DnsServers = [first.Address, second.Address] });

        Assert.Equal([Public], (await gateway.AskAsync("example.org")).Addresses);
        Assert.Single(first.Queries);
    }

    [Fact]
    public async Task Servers_FirstIsGone_TheNextIsAsked()
    {
        using var closed = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        closed.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var gone = (IPEndPoint)closed.LocalEndPoint!;
        closed.Dispose();
        await using var second = DnsTestServer.With(Public);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, more: o => o with { DnsServers = [gone, second.Address] });

        Assert.Equal([Public], (await gateway.AskAsync("example.org")).Addresses);
    }

    [Fact]
    public async Task Servers_Silent_AreGivenUpByTheClock()
    {
        var clock = new ManualClock();
        await using var silent = new DnsTestServer(static _ => []);
        await using var second = DnsTestServer.With(Public);
        await using EgressGateway gateway = Gateways.Make(
            EgressPolicy.AllowPublic, time: clock, more: o => o with { DnsServers = [silent.Address, second.Address] });
        Task<WireMessage> answer = gateway.AskAsync("example.org");
        // One timer for the server and one for all of them.
        await clock.TimersAsync(2);

        clock.Advance(TimeSpan.FromSeconds(2));

        Assert.Equal([Public], (await answer.WaitAsync(Limits.Wait)).Addresses);
    }

    [Fact]
    public async Task Servers_AllSilent_FailAfterTheWholeTime()
    {
        var clock = new ManualClock();
        await using var silent = new DnsTestServer(static _ => []);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, silent.Address, time: clock);
        Task<WireMessage> answer = gateway.AskAsync("example.org");
        await clock.TimersAsync(2);

        clock.Advance(TimeSpan.FromSeconds(5));

        Assert.Equal(2, (await answer.WaitAsync(Limits.Wait)).Code);
    }

    [Fact]
    public async Task Servers_None_FailAtOnce()
    {
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic);

        Assert.Equal(2, (await gateway.AskAsync("example.org")).Code);
    }

    [Fact]
    public async Task Servers_WithoutEdns_AreAskedWithout()
    {
        await using var server = DnsTestServer.Answering(static query => query.Edns
            ? Wire.Reply(query.Id, query.Name, query.Type, 1)
            : Wire.Reply(query.Id, query.Name, query.Type, 0, Wire.Address(query.Name, Public)));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        Assert.Equal([Public], (await gateway.AskAsync("example.org")).Addresses);
        Assert.Equal([true, false], server.Queries.Select(static query => query.Edns));
    }

    [Fact]
    public async Task Reply_Truncated_IsFetchedOverTcpAndTruncatedForUdpAlone()
    {
        await using var server = DnsTestServer.Answering(static query => query.OverTcp
            ? Wire.Reply(query.Id, query.Name, query.Type, 0, [.. Enumerable.Range(1, 100).Select(i => Wire.Address(query.Name, $"93.184.215.{i}"))])
            : Wire.Reply(query.Id, query.Name, query.Type, 0x8380, 0, []));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        WireMessage udp = await gateway.AskAsync("example.org");
        WireMessage large = await gateway.AskAsync(Wire.Query("example.org", edns: 4_096));
        WireMessage tcp = await gateway.AskAsync("example.org", overTcp: true);

        Assert.Equal((true, 0), (udp.Truncated, udp.Records.Count));
        Assert.Equal((false, 100), (large.Truncated, large.Addresses.Length));
        Assert.Equal((false, 100), (tcp.Truncated, tcp.Addresses.Length));
        Assert.Equal([false, true, false, true, false, true], server.Queries.Select(static query => query.OverTcp));
    }

    [Theory]
    [InlineData("wrong id")]
    [InlineData("wrong name")]
    [InlineData("empty")]
    [InlineData("truncated")]
    public async Task Reply_LieOverTcp_IsAServerFailure(string lie)
    {
        await using var server = DnsTestServer.Answering(query => !query.OverTcp || lie == "truncated"
            ? Wire.Reply(query.Id, query.Name, query.Type, 0x8380, 0, [])
            : Lie(query, lie));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        Assert.Equal(2, (await gateway.AskAsync("example.org")).Code);
    }

    [Fact]
    public async Task Query_Upstream_IsMadeAnew()
    {
        await using var server = DnsTestServer.With(Public);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);
        byte[] query = Wire.Query("EXAMPLE.org", edns: 512);
        query[3] |= 0x70;

        for (int i = 0; i < 16; i++)
        {
            await gateway.AskAsync(query);
        }

        Assert.All(server.Queries, static sent => Assert.Equal(
            [.. Wire.U16(sent.Id), 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, .. Wire.Name("example.org"), 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0], sent.Message));
        Assert.InRange(server.Queries.Select(static sent => sent.Id).Distinct().Count(), 10, 16);
    }

    [Fact]
    public async Task Query_TooManyAtOnce_FailsAndIsRecorded()
    {
        await using var silent = new DnsTestServer(static _ => []);
        await using EgressGateway gateway = Gateways.Make(
            EgressPolicy.AllowPublic, silent.Address, new EgressLimits { MaxConcurrentDnsQueries = 2 }, new ManualClock());
        Task<WireMessage>[] waiting = [gateway.AskAsync("a.example.org"), gateway.AskAsync("b.example.org")];

        WireMessage third = await gateway.AskAsync("c.example.org");

        Assert.Equal(2, third.Code);
        Assert.Equal(EgressRefusalReason.ConcurrencyLimit, Assert.Single(gateway.RecentRefusals).Reason);
        Assert.DoesNotContain(waiting, static task => task.IsCompleted);
        await gateway.DisposeAsync();
        foreach (Task<WireMessage> task in waiting)
        {
            await Assert.ThrowsAsync<ObjectDisposedException>(() => task);
        }
    }

    [Fact]
    public async Task Query_TooManyInASecond_FailsUntilTimeGoesOn()
    {
        var clock = new ManualClock();
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.DenyAll, null, new EgressLimits { DnsQueriesPerSecond = 5 }, clock);

        var codes = new List<int>();
        for (int i = 0; i < 8; i++)
        {
            codes.Add((await gateway.AskAsync("example.org")).Code);
        }

        clock.Advance(TimeSpan.FromMilliseconds(200));
        codes.Add((await gateway.AskAsync("example.org")).Code);
        codes.Add((await gateway.AskAsync("example.org")).Code);

        Assert.Equal([3, 3, 3, 3, 3, 2, 2, 2, 3, 2], codes);
        Assert.Equal(10, gateway.Statistics.DnsRefused);
    }

    [Fact]
    public async Task Query_Cancelled_Stops()
    {
        await using var silent = new DnsTestServer(static _ => []);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, silent.Address, time: new ManualClock());
        using var stop = new CancellationTokenSource();
        Task<ReadOnlyMemory<byte>> asking = gateway.ResolveAsync(Wire.Query("example.org"), false, stop.Token).AsTask();

        await stop.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asking.WaitAsync(Limits.Wait));
    }

    [Fact]
    public void ResolvConf_Lines_AreReadAsTheCLibraryDoes() => Assert.Equal(
        ["1.1.1.1:53", "[2606:4700:4700::1111]:53", "127.0.0.53:53"],
        DnsServers.Parse(
            """
            # nameserver 9.9.9.9
            search example.org
            nameserver 1.1.1.1
            nameserver	2606:4700:4700::1111 # comment
            nameserver nonsense
            nameserver
            options edns0
            nameserver 127.0.0.53
            nameserver 8.8.8.8
            """).Select(static server => server.ToString()));

    [Fact]
    public void ResolvConf_Changed_IsReadAgain()
    {
        using var directory = new TemporaryDirectory();
        string path = directory.File("resolv.conf");
        var servers = new DnsServers(null, path);
        Assert.Empty(servers.Current);

        File.WriteAllText(path, "nameserver 1.1.1.1\n");
        File.SetLastWriteTimeUtc(path, DateTime.UnixEpoch.AddDays(1));
        Assert.Equal("1.1.1.1:53", Assert.Single(servers.Current).ToString());

        File.WriteAllText(path, "nameserver 8.8.8.8\n");
        File.SetLastWriteTimeUtc(path, DateTime.UnixEpoch.AddDays(2));
        Assert.Equal("8.8.8.8:53", Assert.Single(servers.Current).ToString());

        File.Delete(path);
        Assert.Empty(servers.Current);
    }

    private static byte[] Lie(ServerQuery query, string lie)
    {
        byte[] record = Wire.Address(query.Name, Evil);
        byte[] truth = Wire.Reply(query.Id, query.Name, query.Type, 0, record);
        switch (lie)
        {
            case "wrong id":
                return Wire.Reply((ushort)(query.Id + 1), query.Name, query.Type, 0, record);
            case "wrong name":
                return Wire.Reply(query.Id, "evil.example.org", query.Type, 0, record);
            case "wrong type":
                return Wire.Reply(query.Id, query.Name, Wire.Aaaa, 0, record);
            case "wrong class":
                truth[12 + Wire.Name(query.Name).Length + 3] = 3;
                return truth;
            case "a query":
                truth[2] = 1;
                return truth;
            case "no question":
                return [.. Wire.U16(query.Id), 0x81, 0x80, 0, 0, 0, 1, 0, 0, 0, 0, .. record];
            case "two questions":
                truth[5] = 2;
                return truth;
            case "another operation":
                truth[2] |= 0x28;
                return truth;
            case "short":
                return truth[..11];
            default:
                return [];
        }
    }
}
