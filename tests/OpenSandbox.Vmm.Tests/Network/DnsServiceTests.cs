using System.Net;

namespace OpenSandbox.Vmm.Tests.Network;

/// <summary>What a guest is told, with an upstream server on loopback.</summary>
public sealed class DnsServiceTests
{
    private const string Public = "93.184.215.14";
    private const string Other = "151.101.0.223";

    [Theory]
    [InlineData(Wire.A, Public)]
    [InlineData(Wire.Aaaa, "2606:4700::6810:84e5")]
    public async Task Query_AllowedName_IsAnsweredAndItsAddressesNamed(ushort type, string address)
    {
        await using var server = DnsTestServer.With(address);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowOnly("*.example.org"), server.Address);

        WireMessage answer = await gateway.AskAsync("WWW.Example.org", type);

        Assert.Equal((0x1234, 0, "WWW.Example.org"), (answer.Id, answer.Code, answer.Name));
        Assert.Equal(0x8180, answer.Flags);
        Assert.Equal([address], answer.Addresses);
        Assert.True(gateway.Decide(Gateways.At(address, 443)).Allowed);
        Assert.Equal("www.example.org", Assert.Single(server.Queries).Name);
    }

    [Fact]
    public async Task Connect_AddressNeverTold_MatchesNoRuleForNames()
    {
        await using var server = DnsTestServer.With(Public);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowOnly("example.org"), server.Address);
        Assert.False(gateway.Decide(Gateways.At(Public, 443)).Allowed);

        await gateway.AskAsync("example.org");

        Assert.True(gateway.Decide(Gateways.At(Public, 443)).Allowed);
        Assert.False(gateway.Decide(Gateways.At(Other, 443)).Allowed);
    }

    [Fact]
    public async Task Names_OfOneSandbox_MeanNothingForAnother()
    {
        await using var server = DnsTestServer.With(Public);
        await using EgressGateway one = Gateways.Make(EgressPolicy.AllowOnly("example.org"), server.Address);
        await using EgressGateway two = Gateways.Make(EgressPolicy.AllowOnly("example.org"), server.Address);

        await one.AskAsync("example.org");

        Assert.False(two.Decide(Gateways.At(Public, 443)).Allowed);
    }

    [Theory]
    [InlineData("www.example.org")]
    [InlineData("example.org.evil.com")]
    [InlineData("secret-data-in-a-label.evil.com")]
    public async Task Query_DeniedName_DoesNotExistAndNeverLeavesTheHost(string name)
    {
        await using var server = DnsTestServer.With(Public);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowOnly("example.org"), server.Address);

        foreach (ushort type in (ushort[])[Wire.A, Wire.Aaaa, Wire.Txt, Wire.Https, Wire.Any, Wire.Ptr])
        {
            WireMessage answer = await gateway.AskAsync(name, type);
            Assert.Equal((3, 0), (answer.Code, answer.Records.Count));
        }

        Assert.Empty(server.Queries);
        Assert.Equal((6, 6), (gateway.Statistics.DnsQueries, gateway.Statistics.DnsRefused));
        Assert.All(gateway.RecentRefusals, refusal => Assert.Equal(
            (EgressRefusalKind.Dns, EgressRefusalReason.Policy, name), (refusal.Kind, refusal.Reason, refusal.Target)));
    }

    [Fact]
    public async Task Query_DeniedNameWithEdns_SaysThatItIsBlocked()
    {
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.DenyAll);

        WireMessage answer = await gateway.AskAsync(Wire.Query("example.org", edns: 1_232));

        Assert.Equal([0, 15, 0, 2, 0, 15], answer.Options);
    }

    public static TheoryData<string> Guarded =>
        ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.17.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "45.33.32.156", "255.255.255.255"];

    [Theory]
    [MemberData(nameof(Guarded))]
    [InlineData("::1")]
    [InlineData("::")]
    [InlineData("fd00::1")]
    [InlineData("fe80::1")]
    [InlineData("::ffff:127.0.0.1")]
    [InlineData("::127.0.0.1")]
    [InlineData("64:ff9b::7f00:1")]
    [InlineData("64:ff9b::10.0.0.1")]
    [InlineData("2002:7f00:1::1")]
    [InlineData("2001:0:808:808::80ff:fffe")]
    [InlineData("2600:3c01::f03c:91ff:fe18:bb2f")]
    public async Task Answer_GuardedAddress_IsLeftOutAndRefusedAtConnect(string address)
    {
        ushort type = address.Contains(':', StringComparison.Ordinal) ? Wire.Aaaa : Wire.A;
        string good = type == Wire.A ? Public : "2606:4700::1";
        await using var server = DnsTestServer.Answering(query => Wire.Reply(
            query.Id,
            query.Name,
            query.Type,
            0,
            query.Name.StartsWith("mixed", StringComparison.Ordinal) ? [Wire.Address(query.Name, address), Wire.Address(query.Name, good)] : [Wire.Address(query.Name, address)]));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowOnly("*.example.org", "*"), server.Address);

        WireMessage alone = await gateway.AskAsync("only.example.org", type);
        WireMessage mixed = await gateway.AskAsync("mixed.example.org", type);

        Assert.Equal((0, 0), (alone.Code, alone.Records.Count));
        Assert.Equal([good], mixed.Addresses);
        Assert.Equal(2, gateway.RecentRefusals.Count(static refusal => refusal.Reason == EgressRefusalReason.GuardedAnswer));
        Assert.Equal(1, gateway.Statistics.DnsRefused);
        EgressRefusedException refused = await Assert.ThrowsAsync<EgressRefusedException>(
            async () => await gateway.ConnectAsync(Gateways.At(address, 80), Limits.Token));
        Assert.Equal(EgressRefusalReason.GuardedAddress, refused.Reason);
    }

    [Fact]
    public async Task Rebinding_PublicFirstLoopbackLater_IsNeverTold()
    {
        int asked = 0;
        await using var server = DnsTestServer.Answering(query =>
            Wire.Reply(query.Id, query.Name, query.Type, 0, Wire.Address(query.Name, Interlocked.Increment(ref asked) == 1 ? Public : "127.0.0.1", 0)));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowOnly("rebind.example.org"), server.Address);

        Assert.Equal([Public], (await gateway.AskAsync("rebind.example.org")).Addresses);
        Assert.Empty((await gateway.AskAsync("rebind.example.org")).Records);

        Assert.True(gateway.Decide(Gateways.At(Public, 80)).Allowed);
        Assert.False(gateway.Decide(Gateways.At("127.0.0.1", 80)).Allowed);
    }

    [Fact]
    public async Task Answer_GuardedAddressOpenedByItsOwnRule_IsTold()
    {
        await using var server = DnsTestServer.With("10.9.9.9", "10.9.9.10");
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowOnly("db.corp", "10.9.9.9:5432"), server.Address);

        Assert.Equal(["10.9.9.9"], (await gateway.AskAsync("db.corp")).Addresses);
        Assert.True(gateway.Decide(Gateways.At("10.9.9.9", 5_432)).Allowed);
        Assert.False(gateway.Decide(Gateways.At("10.9.9.9", 22)).Allowed);
    }

    [Fact]
    public async Task Answer_ChainToPublicAddress_NamesItForTheAskedNameAlone()
    {
        await using var server = DnsTestServer.Answering(static query => Wire.Reply(
            query.Id,
            query.Name,
            query.Type,
            0,
            Wire.Address("edge.cdn.example.net", Public, 20),
            Wire.Alias(query.Name, "x.cdn.example.net", 500),
            Wire.Alias("X.CDN.example.net", "edge.cdn.example.net", 40),
            Wire.Address("stranger.example.com", Other)));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowOnly("www.example.org"), server.Address);

        WireMessage answer = await gateway.AskAsync("www.example.org");

        Assert.Equal([Wire.Cname, Wire.Cname, Wire.A], answer.Records.Select(static record => record.Type));
        Assert.Equal("edge.cdn.example.net", answer.Records[2].Owner);
        Assert.All(answer.Records, static record => Assert.Equal(20u, record.TimeToLive));
        Assert.True(gateway.Decide(Gateways.At(Public, 443)).Allowed);
        Assert.False(gateway.Decide(Gateways.At(Other, 443)).Allowed);
        gateway.Policy = EgressPolicy.AllowOnly("edge.cdn.example.net");
        Assert.False(gateway.Decide(Gateways.At(Public, 443)).Allowed);
    }

    [Fact]
    public async Task Answer_ChainToGuardedAddress_IsEmpty()
    {
        await using var server = DnsTestServer.Answering(static query => Wire.Reply(
            query.Id, query.Name, query.Type, 0, Wire.Alias(query.Name, "inside.example.net"), Wire.Address("inside.example.net", "169.254.169.254")));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        WireMessage answer = await gateway.AskAsync("www.example.org");

        Assert.Equal((0, 0), (answer.Code, answer.Records.Count));
        Assert.Contains("169.254.169.254 (link-local)", Assert.Single(gateway.RecentRefusals).Detail, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0u, 1u)]
    [InlineData(5u, 5u)]
    [InlineData(86_400u, 300u)]
    [InlineData(0x8000_0001u, 1u)]
    public async Task Answer_TimeToLive_IsClamped(uint sent, uint told)
    {
        await using var server = DnsTestServer.Answering(query =>
            Wire.Reply(query.Id, query.Name, query.Type, 0, query.Type == Wire.A ? Wire.Address(query.Name, Public, sent) : Wire.Record(query.Name, Wire.Txt, sent, [1, 65])));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        Assert.Equal(told, Assert.Single((await gateway.AskAsync("example.org")).Records).TimeToLive);
        Assert.Equal(told, Assert.Single((await gateway.AskAsync("example.org", Wire.Txt)).Records).TimeToLive);
    }

    [Theory]
    [InlineData("localhost")]
    [InlineData("LOCALHOST")]
    [InlineData("app.localhost")]
    public async Task Query_Localhost_IsTheGuestsOwnLoopback(string name)
    {
        await using var server = DnsTestServer.With(Public);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.DenyAll, server.Address);

        Assert.Equal(["127.0.0.1"], (await gateway.AskAsync(name)).Addresses);
        Assert.Equal(["::1"], (await gateway.AskAsync(name, Wire.Aaaa)).Addresses);
        Assert.Empty((await gateway.AskAsync(name, Wire.Txt)).Records);
        Assert.Empty(server.Queries);
        Assert.False(gateway.Decide(Gateways.At("127.0.0.1", 80)).Allowed);
    }

    [Theory]
    [InlineData("printer.local", "printer.local")]
    [InlineData("metadata.google.internal", "metadata.google.internal")]
    [InlineData("db", "db")]
    [InlineData("router.home.arpa", "*.home.arpa")]
    [InlineData("nas.lan", "*.lan")]
    [InlineData("wiki.corp", "*.corp")]
    [InlineData("hidden.onion", "hidden.onion")]
    public async Task Query_ReservedName_NeedsARuleThatNamesIt(string name, string rule)
    {
        await using var server = DnsTestServer.With(Public);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic with { Rules = [EgressRule.Allow("*")] }, server.Address);

        Assert.Equal(3, (await gateway.AskAsync(name)).Code);
        Assert.Empty(server.Queries);
        Assert.Equal(EgressRefusalReason.ReservedName, Assert.Single(gateway.RecentRefusals).Reason);

        gateway.Policy = EgressPolicy.AllowOnly(rule);
        Assert.Equal([Public], (await gateway.AskAsync(name)).Addresses);
    }

    [Theory]
    [InlineData("5.0.0.10.in-addr.arpa", false)]
    [InlineData("1.0.0.127.in-addr.arpa", false)]
    [InlineData("156.32.33.45.in-addr.arpa", false)]
    [InlineData("10.in-addr.arpa", false)]
    [InlineData("in-addr.arpa", false)]
    [InlineData("8.8.8.8.in-addr.arpa", true)]
    [InlineData("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", false)]
    [InlineData("1.1.1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.4.0.0.7.4.6.0.6.2.ip6.arpa", true)]
    public async Task Query_NameOfAnAddress_IsForwardedForPublicOnesOnly(string name, bool forwarded)
    {
        await using var server = DnsTestServer.Answering(static query => Wire.Reply(
            query.Id, query.Name, query.Type, 0, Wire.Record(query.Name, Wire.Ptr, 60, Wire.Name("host.example.net"))));
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        WireMessage answer = await gateway.AskAsync(name, Wire.Ptr);

        Assert.Equal(forwarded ? 0 : 3, answer.Code);
        Assert.Equal(forwarded ? 1 : 0, server.Queries.Count);
        if (forwarded)
        {
            Assert.Equal("host.example.net", Assert.Single(answer.Records).Target);
        }
    }

    [Fact]
    public async Task Query_OtherTypes_ArePassedOnWithoutCompressionAndAdditions()
    {
        await using var server = DnsTestServer.Answering(static query =>
        {
            // The target's compressed: "mail" in front of the question's name.
            byte[] data = [0, 10, 4, (byte)'m', (byte)'a', (byte)'i', (byte)'l', 0xC0, 0x0C];
            return query.Type switch
            {
                Wire.Mx => Wire.Reply(query.Id, query.Name, query.Type, 0, Wire.Record(query.Name, Wire.Mx, 60, data)),
                Wire.Srv => Wire.Reply(query.Id, query.Name, query.Type, 0, Wire.Record(query.Name, Wire.Srv, 60, [0, 1, 0, 2, 1, 187, .. Wire.Name("a.example.org")])),
                Wire.Soa => Wire.Reply(
                    query.Id, query.Name, query.Type, 0, Wire.Record(query.Name, Wire.Soa, 60, [0xC0, 0x0C, .. Wire.Name("root.example.org"), .. new byte[20]])),
                _ => Wire.Reply(query.Id, query.Name, query.Type, 0, Wire.Record(query.Name, query.Type, 60, [3, 65, 66, 67])),
            };
        });
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        Assert.Equal<byte[]>([0, 10, .. Wire.Name("mail.example.org")], await DataAsync(gateway, Wire.Mx));
        Assert.Equal<byte[]>([0, 1, 0, 2, 1, 187, .. Wire.Name("a.example.org")], await DataAsync(gateway, Wire.Srv));
        Assert.Equal<byte[]>([.. Wire.Name("example.org"), .. Wire.Name("root.example.org"), .. new byte[20]], await DataAsync(gateway, Wire.Soa));
        Assert.Equal<byte[]>([3, 65, 66, 67], await DataAsync(gateway, Wire.Txt));
    }

    private static async Task<byte[]> DataAsync(EgressGateway gateway, ushort type) =>
        Assert.Single((await gateway.AskAsync("example.org", type)).Records).Data;

    [Fact]
    public async Task Query_TypesThatGoPastTheNames_AreAnsweredHere()
    {
        await using var server = DnsTestServer.With(Public);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        WireMessage https = await gateway.AskAsync("example.org", Wire.Https);
        WireMessage any = await gateway.AskAsync("example.org", Wire.Any);
        WireMessage transfer = await gateway.AskAsync("example.org", 252);

        Assert.Equal((0, 0), (https.Code, https.Records.Count));
        Assert.Equal((0, Wire.Hinfo), (any.Code, Assert.Single(any.Records).Type));
        Assert.Equal(4, transfer.Code);
        Assert.Empty(server.Queries);
    }

    public static TheoryData<string, byte[], int> Wrong => new()
    {
        { "empty", [], 1 },
        { "one byte", [7], 1 },
        { "a header without a question", Wire.Query("example.org")[..12], 1 },
        { "a question cut short", Wire.Query("example.org")[..^1], 1 },
        { "a byte too many", [.. Wire.Query("example.org"), 0], 1 },
        { "an answer", Wire.Query("example.org", flags: 0x8180), 1 },
        { "two questions", [0, 1, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, .. Wire.Name("a.b"), 0, 1, 0, 1, .. Wire.Name("a.c"), 0, 1, 0, 1], 1 },
        { "no question", [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1 },
        { "a record in the answer section", [0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, .. Wire.Name("a.b"), 0, 1, 0, 1], 1 },
        { "compression", [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 0x0C, 0, 1, 0, 1], 1 },
        { "a label type of old", [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x41, 0, 0, 1, 0, 1], 1 },
        { "a name of 256 bytes", Wire.Query(string.Join('.', Enumerable.Repeat(new string('a', 63), 3)) + "." + new string('b', 62)), 1 },
        { "4,097 bytes", [.. Wire.Query("example.org"), .. new byte[5_000]], 1 },
        { "an update", Wire.Query("example.org", flags: 0x2800), 4 },
        { "a status request", Wire.Query("example.org", flags: 0x1000), 4 },
        { "class CHAOS", Wire.Query("version.bind", Wire.Txt, queryClass: 3), 4 },
        { "EDNS version 1", Wire.Query("example.org", edns: 1_232, ednsVersion: 1), 16 },
        { "two OPT records", [.. Wire.Query("example.org", edns: 512), 0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0], 1 },
        { "a byte that no host name has", Wire.Query("exa mple.org"), 3 },
        { "the root", Wire.Query(""), 3 },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public async Task Query_NotInOrder_IsAnsweredInDnsOwnWords(string what, byte[] query, int code)
    {
        await using var server = DnsTestServer.With(Public);
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address);

        WireMessage answer = await gateway.AskAsync(query);

        Assert.True(code == answer.Code, $"{what}: {answer.Code}");
        Assert.Empty(server.Queries);
    }

    [Fact]
    public async Task Query_PolicyChangedWhileAsking_IsJudgedByTheNewOne()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var mayAnswer = new ManualResetEventSlim();
        await using var server = DnsTestServer.Answering(query =>
        {
            asked.TrySetResult();
            mayAnswer.Wait(Limits.Wait);
            return Wire.Reply(query.Id, query.Name, query.Type, 0, Wire.Address(query.Name, Public));
        });
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic, server.Address, more: static o => o with { DnsTryTimeout = Limits.Wait, DnsTimeout = Limits.Wait });
        Task<WireMessage> answer = gateway.AskAsync("example.org");
        await asked.Task.WaitAsync(Limits.Wait);

        gateway.Policy = EgressPolicy.DenyAll;
        mayAnswer.Set();

        Assert.Equal(3, (await answer).Code);
        gateway.Policy = EgressPolicy.AllowOnly("example.org");
        Assert.False(gateway.Decide(Gateways.At(Public, 443)).Allowed);
    }
}
