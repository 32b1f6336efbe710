using System.Net;

namespace OpenSandbox.Vmm.Tests.Network;

public sealed class AddressGuardTests
{
    /// <summary>Address, and the widest rule that opens it.</summary>
    public static TheoryData<string, string> Guarded => new()
    {
        { "0.0.0.0", "0.0.0.0/8" },
        { "0.1.2.3", "0.0.0.0/8" },
        { "10.0.0.0", "10.0.0.0/8" },
        { "10.255.255.255", "10.0.0.0/8" },
        { "100.64.0.1", "100.64.0.0/10" },
        { "100.100.100.200", "100.64.0.0/10" },
        { "100.127.255.255", "100.64.0.0/10" },
        { "127.0.0.1", "127.0.0.0/8" },
        { "127.0.0.53", "127.0.0.0/8" },
        { "127.255.255.254", "127.0.0.0/8" },
        { "168.63.129.16", "168.63.129.16" },
        { "169.254.0.1", "169.254.0.0/16" },
        { "169.254.169.254", "169.254.0.0/16" },
        { "169.254.170.2", "169.254.0.0/16" },
        { "172.16.0.1", "172.16.0.0/12" },
        { "172.31.255.255", "172.16.0.0/12" },
        { "192.0.0.1", "192.0.0.0/24" },
        { "192.0.0.192", "192.0.0.0/24" },
        { "192.0.2.1", "192.0.2.0/24" },
        { "192.88.99.1", "192.88.99.0/24" },
        { "192.168.0.1", "192.168.0.0/16" },
        { "192.168.255.255", "192.168.0.0/16" },
        { "198.18.0.1", "198.18.0.0/15" },
        { "198.19.255.255", "198.18.0.0/15" },
        { "198.51.100.1", "198.51.100.0/24" },
        { "203.0.113.1", "203.0.113.0/24" },
        { "224.0.0.1", "224.0.0.0/4" },
        { "239.255.255.250", "224.0.0.0/4" },
        { "240.0.0.1", "240.0.0.0/4" },
        { "255.255.255.254", "240.0.0.0/4" },
        { "255.255.255.255", "255.255.255.255" },
        { "::", "::" },
        { "::1", "::1" },
        { "100::", "100::/64" },
        { "100::1", "100::/64" },
        { "100:0:0:1::5", "100:0:0:1::/64" },
        { "2001:2::1", "2001::/23" },
        { "2001:10::1", "2001::/23" },
        { "2001:1ff:ffff::1", "2001::/23" },
        { "2001:db8::1", "2001:db8::/32" },
        { "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::/32" },
        { "3fff::1", "3fff::/20" },
        { "5f00::1", "5f00::/16" },
        { "fc00::1", "fc00::/7" },
        { "fd00:ec2::254", "fc00::/7" },
        { "fdff:ffff::1", "fc00::/7" },
        { "fe80::1", "fe80::/10" },
        { "febf::1", "fe80::/10" },
        { "fec0::1", "fec0::/10" },
        { "feff::1", "fec0::/10" },
        { "ff02::1", "ff00::/8" },
        { "ff0e::1", "ff00::/8" },
        { "1::1", "::/3" },
        { "4000::1", "4000::/2" },
        { "8000::1", "8000::/1" },
        { "fe00::1", "8000::/1" },
    };

    /// <summary>Forms of writing IPv4 in IPv6, and the widest rule that opens the form; what is inside is public.</summary>
    public static TheoryData<string, string> PublicInside => new()
    {
        { "::ffff:8.8.8.8", "::ffff:0:0/96" },
        { "::8.8.8.8", "::/96" },
        { "::ffff:0:8.8.8.8", "::ffff:0:0:0/96" },
        { "64:ff9b::8.8.8.8", "64:ff9b::/96" },
        { "2002:808:808::1", "2002::/16" },
        // Teredo: server 8.8.8.8, client 8.8.4.4 with every bit inverted.
        { "2001:0:808:808:0:0:f7f7:fbfb", "2001::/32" },
    };

    /// <summary>The same forms with something guarded inside: opening the form does not open it.</summary>
    public static TheoryData<string, string> GuardedInside => new()
    {
        { "::ffff:127.0.0.1", "::ffff:0:0/96" },
        { "::ffff:10.0.0.1", "::ffff:0:0/96" },
        { "::ffff:169.254.169.254", "::ffff:0:0/96" },
        { "::ffff:45.33.32.156", "::ffff:0:0/96" },
        { "::127.0.0.1", "::/96" },
        { "::192.168.0.1", "::/96" },
        { "::ffff:0:10.0.0.1", "::ffff:0:0:0/96" },
        { "64:ff9b::7f00:1", "64:ff9b::/96" },
        { "64:ff9b::169.254.169.254", "64:ff9b::/96" },
        { "64:ff9b::192.168.1.1", "64:ff9b::/96" },
        { "64:ff9b::45.33.32.156", "64:ff9b::/96" },
        { "64:ff9b:1::10.0.0.1", "64:ff9b:1::/48" },
        { "64:ff9b:1:7f00:0:100::", "64:ff9b:1::/48" },
        { "64:ff9b:1:ffff::8.8.8.8", "64:ff9b:1::/48" },
        { "2002:7f00:1::1", "2002::/16" },
        { "2002:a00:1::1", "2002::/16" },
        { "2002:c0a8:101::c0a8:101", "2002::/16" },
        { "2002:a9fe:a9fe::1", "2002::/16" },
        { "2001:0:7f00:1::f7f7:f7f7", "2001::/32" },
        { "2001:0:808:808::80ff:fffe", "2001::/32" },
        { "2001:0:808:808::f5ff:fffe", "2001::/32" },
    };

    [Theory]
    [MemberData(nameof(Guarded))]
    [MemberData(nameof(PublicInside))]
    [MemberData(nameof(GuardedInside))]
    public void GuardedAddress_WhateverAllowsEverything_IsRefused(string address, string _)
    {
        EgressPolicy[] open =
        [
            EgressPolicy.AllowPublic,
            EgressPolicy.AllowOnly("*"),
            EgressPolicy.AllowOnly("0.0.0.0/0", "::/0"),
            EgressPolicy.AllowOnly("*.example.org", "example.org"),
        ];
        foreach (EgressPolicy policy in open)
        {
            EgressDecision decision = Gateways.Compile(policy).DecideConnect(IPAddress.Parse(address), 80, ["example.org", "a.example.org"]);

            Assert.False(decision.Allowed);
            Assert.Equal(EgressRefusalReason.GuardedAddress, decision.Reason);
            Assert.NotEmpty(decision.Detail);
        }
    }

    [Theory]
    [MemberData(nameof(Guarded))]
    [MemberData(nameof(PublicInside))]
    public void GuardedAddress_RuleAsWideAsItsRange_OpensIt(string address, string rule)
    {
        Assert.True(Allowed(EgressPolicy.AllowOnly(rule), address));
        Assert.True(Allowed(EgressPolicy.AllowOnly(address), address));
        Assert.True(Allowed(EgressPolicy.Parse(EgressAction.Allow, "allow example.org", "allow *", $"allow {rule}"), address));
        Assert.False(Allowed(EgressPolicy.Parse(EgressAction.Allow, $"deny {rule}", $"allow {rule}"), address));
        Assert.False(Allowed(EgressPolicy.Parse(EgressAction.Allow, "deny *", $"allow {rule}"), address));
    }

    [Theory]
    [MemberData(nameof(Guarded))]
    public void GuardedAddress_RuleWiderThanItsRange_OpensNothing(string address, string rule)
    {
        var network = IPNetwork.Parse(rule.Contains('/', StringComparison.Ordinal) ? rule : $"{rule}/{(rule.Contains(':', StringComparison.Ordinal) ? 128 : 32)}");
        string wider = $"{network.BaseAddress}/{network.PrefixLength - 1}";

        Assert.False(Allowed(EgressPolicy.AllowOnly(wider), address));
    }

    [Theory]
    [MemberData(nameof(GuardedInside))]
    public void EmbeddedAddress_GuardedInside_NeedsARuleOfItsOwn(string address, string rule)
    {
        EgressDecision decision = Gateways.Compile(EgressPolicy.AllowOnly(rule, address)).DecideConnect(IPAddress.Parse(address), 80, []);

        Assert.Equal(EgressRefusalReason.GuardedAddress, decision.Reason);
        Assert.Contains(" for ", decision.Detail, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("::ffff:127.0.0.1", "::ffff:0:0/96", "127.0.0.0/8")]
    [InlineData("64:ff9b::10.0.0.1", "64:ff9b::/96", "10.0.0.0/8")]
    [InlineData("2002:c0a8:101::1", "2002::/16", "192.168.1.1")]
    public void EmbeddedAddress_BothOpened_IsAllowed(string address, string form, string inside) =>
        Assert.True(Allowed(EgressPolicy.AllowOnly(form, inside), address));

    [Fact]
    public void EmbeddedAddress_DeniedInside_IsRefused()
    {
        Assert.True(Allowed(EgressPolicy.AllowOnly("64:ff9b::/96"), "64:ff9b::8.8.8.8"));
        Assert.False(Allowed(EgressPolicy.Parse(EgressAction.Deny, "deny 8.8.8.0/24", "allow 64:ff9b::/96"), "64:ff9b::8.8.8.8"));
        Assert.False(Allowed(EgressPolicy.Parse(EgressAction.Deny, "allow 64:ff9b::/96", "deny 8.8.8.0/24:80"), "64:ff9b::8.8.8.8"));
    }

    [Theory]
    [InlineData("1.1.1.1")]
    [InlineData("8.8.8.8")]
    [InlineData("9.255.255.255")]
    [InlineData("11.0.0.0")]
    [InlineData("100.63.255.255")]
    [InlineData("100.128.0.0")]
    [InlineData("126.255.255.255")]
    [InlineData("128.0.0.0")]
    [InlineData("169.253.255.255")]
    [InlineData("169.255.0.0")]
    [InlineData("172.15.255.255")]
    [InlineData("172.32.0.0")]
    [InlineData("192.0.1.0")]
    [InlineData("192.0.3.0")]
    [InlineData("192.167.255.255")]
    [InlineData("192.169.0.0")]
    [InlineData("198.17.255.255")]
    [InlineData("198.20.0.0")]
    [InlineData("223.255.255.255")]
    [InlineData("2000::1")]
    [InlineData("2001:200::1")]
    [InlineData("2001:db7::1")]
    [InlineData("2001:db9::1")]
    [InlineData("2003::1")]
    [InlineData("2606:4700:4700::1111")]
    [InlineData("3ffe:ffff::1")]
    public void PublicAddress_AllowPublic_IsAllowed(string address) => Assert.True(Allowed(EgressPolicy.AllowPublic, address));

    [Theory]
    [InlineData("45.33.32.156", "45.33.32.0/24")]
    [InlineData("10.1.2.3", "10.0.0.0/8")]
    [InlineData("2600:3c01::f03c:91ff:fe18:bb2f", "2600:3c01::/32")]
    [InlineData("fd12::5", "fd12::/64")]
    public void HostsOwnAddress_OnlyByItsOwnRule_IsOpened(string address, string network)
    {
        EgressDecision decision = Gateways.Compile(EgressPolicy.AllowPublic).DecideConnect(IPAddress.Parse(address), 22, []);

        Assert.Equal(EgressRefusalReason.GuardedAddress, decision.Reason);
        Assert.Equal("the host's own address", decision.Detail);
        Assert.False(Allowed(EgressPolicy.AllowOnly(network), address));
        Assert.True(Allowed(EgressPolicy.AllowOnly(network, address), address));
    }

    [Fact]
    public void HostAddresses_Change_IsSeenAtTheNextQuestion()
    {
        IPAddress[] own = [IPAddress.Parse("9.9.9.9")];
        using var host = new HostAddresses(() => own);
        var policy = new CompiledPolicy(EgressPolicy.AllowPublic, new AddressGuard(host));
        Assert.False(policy.DecideConnect(IPAddress.Parse("9.9.9.9"), 80, []).Allowed);

        own = [IPAddress.Parse("9.9.9.10")];
        host.Refresh();

        Assert.True(policy.DecideConnect(IPAddress.Parse("9.9.9.9"), 80, []).Allowed);
        Assert.False(policy.DecideConnect(IPAddress.Parse("9.9.9.10"), 80, []).Allowed);
    }

    [Fact]
    public void HostAddresses_OfThisMachine_AreRefused()
    {
        var policy = new CompiledPolicy(EgressPolicy.AllowPublic, new AddressGuard(HostAddresses.Shared));
        IPAddress[] own =
        [
            .. System.Net.NetworkInformation.NetworkInterface.GetAllNetworkInterfaces()
                .SelectMany(static link => link.GetIPProperties().UnicastAddresses)
                .Select(static unicast => unicast.Address),
        ];

        Assert.NotEmpty(own);
        Assert.All(own, address => Assert.False(policy.DecideConnect(AddressBits.WithoutScope(address), 80, []).Allowed));
        Assert.All(own.Where(static a => !IPAddress.IsLoopback(a)), static address => Assert.True(HostAddresses.Shared.Contains(AddressBits.WithoutScope(address))));
    }

    [Fact]
    public void LocalRoute_OfThisMachine_LeadsHereAndNowhereElse()
    {
        Assert.All(["127.0.0.1", "127.9.8.7"], static address => Assert.True(LocalRoute.LeadsHere(IPAddress.Parse(address))));
        Assert.All(["224.0.0.1", "240.0.0.1"], static address => Assert.False(LocalRoute.LeadsHere(IPAddress.Parse(address))));
    }

    [Fact]
    public void AddressGuard_Range_IsTheMostSpecific()
    {
        Assert.Equal("loopback", Gateways.Guard.Judge(IPAddress.IPv6Loopback).Range);
        Assert.Equal("broadcast", Gateways.Guard.Judge(IPAddress.Broadcast).Range);
        Assert.Equal("Teredo", Gateways.Guard.Judge(IPAddress.Parse("2001::1")).Range);
        Assert.Equal("loopback", Gateways.Guard.Judge(IPAddress.Loopback).Range);
    }

    private static bool Allowed(EgressPolicy policy, string address) => Gateways.Compile(policy).DecideConnect(IPAddress.Parse(address), 80, []).Allowed;
}
