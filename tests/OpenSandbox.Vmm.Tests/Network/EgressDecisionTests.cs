using System.Net;

namespace OpenSandbox.Vmm.Tests.Network;

public sealed class EgressDecisionTests
{
    private const string Public = "93.184.215.14";

    /// <summary>Default action, rules, address, port, names told for the address, whether it is allowed.</summary>
    public static TheoryData<string, string, string, int, string, bool> Connections => new()
    {
        // By name.
        { "deny", "allow example.org", Public, 443, "example.org", true },
        { "deny", "allow example.org", Public, 443, "other.org", false },
        { "deny", "allow example.org", Public, 443, "", false },
        { "deny", "allow example.org", Public, 443, "www.example.org", false },
        { "deny", "allow EXAMPLE.org.", Public, 443, "example.org", true },
        { "deny", "allow bücher.example", Public, 443, "xn--bcher-kva.example", true },
        { "allow", "deny example.org", Public, 443, "example.org", false },
        { "allow", "deny example.org", Public, 443, "", true },
        { "deny", "allow pypi.org;allow *.pythonhosted.org", Public, 443, "files.pythonhosted.org", true },
        // Wildcards.
        { "deny", "allow *.example.org", Public, 443, "a.example.org", true },
        { "deny", "allow *.example.org", Public, 443, "a.b.example.org", true },
        { "deny", "allow *.example.org", Public, 443, "example.org", false },
        { "deny", "allow *.example.org", Public, 443, "badexample.org", false },
        { "deny", "allow *.example.org", Public, 443, "example.org.evil.com", false },
        { "deny", "allow *.org", Public, 443, "example.org", true },
        { "allow", "deny *.example.org", Public, 443, "example.org", true },
        { "allow", "deny *.example.org", Public, 443, "x.example.org", false },
        // By address and range.
        { "deny", "allow 93.184.215.14", Public, 443, "", true },
        { "deny", "allow 93.184.215.15", Public, 443, "", false },
        { "deny", "allow 93.184.0.0/16", Public, 443, "", true },
        { "deny", "allow 93.185.0.0/16", Public, 443, "", false },
        { "deny", "allow 0.0.0.0/0", Public, 443, "", true },
        { "deny", "allow ::/0", Public, 443, "", false },
        { "deny", "allow 2606:4700::/32", "2606:4700::6810:84e5", 443, "", true },
        { "deny", "allow 2606:4700::/32", "2606:4701::1", 443, "", false },
        { "deny", "allow [2606:4700::/32]:443", "2606:4700::1", 443, "", true },
        { "deny", "allow [2606:4700::/32]:443", "2606:4700::1", 80, "", false },
        { "deny", "allow 0.0.0.0/0", "2606:4700::1", 443, "", false },
        { "deny", "allow *", "2606:4700::1", 443, "", true },
        { "allow", "deny 93.184.215.0/24", Public, 443, "example.org", false },
        { "allow", "deny 2606:4700::/32", "2606:4700::1", 443, "", false },
        { "deny", "allow 10.0.0.0/8", "10.200.1.1", 5432, "", true },
        { "deny", "allow 10.200.0.0/16", "10.200.1.1", 5432, "", true },
        { "deny", "allow 10.0.0.0/8:5432", "10.200.1.1", 22, "", false },
        // Ports.
        { "deny", "allow example.org:443", Public, 443, "example.org", true },
        { "deny", "allow example.org:443", Public, 80, "example.org", false },
        { "deny", "allow example.org:80,443", Public, 80, "example.org", true },
        { "deny", "allow example.org:8000-8999", Public, 8_000, "example.org", true },
        { "deny", "allow example.org:8000-8999", Public, 8_999, "example.org", true },
        { "deny", "allow example.org:8000-8999", Public, 9_000, "example.org", false },
        { "allow", "deny *:25,465,587", Public, 25, "example.org", false },
        { "allow", "deny *:25,465,587", Public, 443, "example.org", true },
        // Order: the first match decides.
        { "deny", "allow a.example.org;deny *.example.org;allow *", Public, 443, "a.example.org", true },
        { "deny", "allow a.example.org;deny *.example.org;allow *", Public, 443, "b.example.org", false },
        { "deny", "allow a.example.org;deny *.example.org;allow *", Public, 443, "c.org", true },
        { "allow", "deny *;allow example.org", Public, 443, "example.org", false },
        { "deny", "allow example.org;deny *", Public, 443, "example.org", true },
        { "deny", "deny example.org:80;allow example.org", Public, 80, "example.org", false },
        { "deny", "deny example.org:80;allow example.org", Public, 443, "example.org", true },
        { "deny", "deny 93.184.215.14;allow example.org", Public, 443, "example.org", false },
        { "deny", "allow example.org;deny 93.184.215.14", Public, 443, "example.org", true },
        { "deny", "allow 93.184.0.0/16;deny 93.184.215.14", Public, 443, "", true },
        { "deny", "deny 93.184.215.14;allow 93.184.0.0/16", Public, 443, "", false },
        // Several names for one address: rules in order, each against all of them.
        { "allow", "deny bad.org:80;allow good.org", Public, 80, "good.org;bad.org", false },
        { "allow", "deny bad.org:80;allow good.org", Public, 443, "good.org;bad.org", true },
        { "deny", "allow good.org;deny bad.org", Public, 443, "bad.org;good.org", true },
        { "deny", "deny bad.org;allow good.org", Public, 443, "bad.org;good.org", false },
        { "deny", "deny *.bad.org;allow *", Public, 443, "x.bad.org;good.org", false },
        // A rule for a name opens nothing that is guarded, wherever it stands.
        { "deny", "allow example.org", "127.0.0.1", 443, "example.org", false },
        { "deny", "allow example.org", "10.9.9.9", 443, "example.org", false },
        { "allow", "allow *.example.org;allow *", "169.254.169.254", 80, "a.example.org", false },
        { "deny", "allow example.org;allow 10.9.9.9", "10.9.9.9", 443, "example.org", true },
        { "deny", "deny example.org;allow 10.9.9.9", "10.9.9.9", 443, "example.org", false },
        { "deny", "deny example.org:22;allow 10.9.9.9", "10.9.9.9", 443, "example.org", true },
    };

    [Theory]
    [MemberData(nameof(Connections))]
    public void DecideConnect_Table_Holds(string defaultAction, string rules, string address, int port, string names, bool allowed)
    {
        CompiledPolicy policy = Gateways.Compile(Policy(defaultAction, rules));

        EgressDecision decision = policy.DecideConnect(IPAddress.Parse(address), port, Split(names));

        Assert.Equal(allowed, decision.Allowed);
    }

    /// <summary>Default action, rules, name, whether it may be asked for.</summary>
    public static TheoryData<string, string, string, bool> Names => new()
    {
        { "allow", "", "example.org", true },
        { "deny", "", "example.org", false },
        { "deny", "allow example.org", "example.org", true },
        { "deny", "allow example.org", "www.example.org", false },
        { "deny", "allow *.example.org", "example.org", false },
        { "deny", "allow *.example.org", "www.example.org", true },
        { "deny", "allow *", "example.org", true },
        { "deny", "allow *:443", "example.org", true },
        { "deny", "allow 10.0.0.0/8", "example.org", false },
        { "deny", "allow 0.0.0.0/0", "example.org", false },
        { "allow", "deny 0.0.0.0/0", "example.org", true },
        { "allow", "deny example.org", "example.org", false },
        { "allow", "deny example.org:80", "example.org", true },
        { "allow", "deny *:25", "example.org", true },
        { "allow", "deny *;allow example.org", "example.org", false },
        { "allow", "allow example.org;deny *", "example.org", true },
        { "allow", "allow example.org;deny *", "other.org", false },
        { "deny", "deny example.org:80;allow example.org:443", "example.org", true },
        { "deny", "deny example.org;allow example.org:443", "example.org", false },
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void DecideName_Table_Holds(string defaultAction, string rules, string name, bool allowed) =>
        Assert.Equal(allowed, Gateways.Compile(Policy(defaultAction, rules)).DecideName(name, reserved: false).Allowed);

    [Theory]
    [InlineData("allow", "", false)]
    [InlineData("deny", "allow *", false)]
    [InlineData("deny", "allow db.internal", true)]
    [InlineData("deny", "allow *.internal", true)]
    [InlineData("allow", "deny *;allow db.internal", false)]
    [InlineData("allow", "allow *;allow db.internal", true)]
    public void DecideName_ReservedName_NeedsARuleForNames(string defaultAction, string rules, bool allowed) =>
        Assert.Equal(allowed, Gateways.Compile(Policy(defaultAction, rules)).DecideName("db.internal", reserved: true).Allowed);

    [Fact]
    public void Decisions_Refused_NameTheRule()
    {
        CompiledPolicy policy = Gateways.Compile(Policy("allow", "allow a.org;deny *.b.org:443"));

        EgressDecision decision = policy.DecideConnect(IPAddress.Parse(Public), 443, ["x.b.org"]);

        Assert.Equal((EgressRefusalReason.Policy, "deny *.b.org:443"), (decision.Reason, decision.Rule?.ToString()));
    }

    [Fact]
    public void DecideConnect_LargestPolicy_FindsTheLastRule()
    {
        var policy = new EgressPolicy
        {
            Rules =
            [
                .. Enumerable.Range(0, 2_000).Select(static i => EgressRule.Deny($"*.n{i}.example")),
                .. Enumerable.Range(0, 2_095).Select(static i => EgressRule.Deny($"11.{i / 256}.{i % 256}.0/24")),
                EgressRule.Allow("*.last.example"),
            ],
        };
        CompiledPolicy compiled = Gateways.Compile(policy);

        Assert.True(compiled.DecideConnect(IPAddress.Parse(Public), 443, ["a.last.example"]).Allowed);
        Assert.Equal("deny *.n1999.example", compiled.DecideConnect(IPAddress.Parse(Public), 443, ["b.n1999.example"]).Rule!.ToString());
        Assert.Equal("deny 11.8.46.0/24", compiled.DecideConnect(IPAddress.Parse("11.8.46.1"), 443, []).Rule!.ToString());
    }

    private static EgressPolicy Policy(string defaultAction, string rules) =>
        EgressPolicy.Parse(defaultAction == "allow" ? EgressAction.Allow : EgressAction.Deny, Split(rules));

    private static string[] Split(string text) => text.Split(';', StringSplitOptions.RemoveEmptyEntries);
}
