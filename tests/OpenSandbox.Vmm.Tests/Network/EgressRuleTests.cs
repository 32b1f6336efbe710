namespace OpenSandbox.Vmm.Tests.Network;

public sealed class EgressRuleTests
{
    [Theory]
    [InlineData("allow example.org", EgressTargetKind.Domain, "allow example.org")]
    [InlineData("DENY Example.ORG.", EgressTargetKind.Domain, "deny example.org")]
    [InlineData("  allow\t example.org  ", EgressTargetKind.Domain, "allow example.org")]
    [InlineData("allow *.Example.org:443", EgressTargetKind.Subdomains, "allow *.example.org:443")]
    [InlineData("allow *.org", EgressTargetKind.Subdomains, "allow *.org")]
    [InlineData("allow localhost", EgressTargetKind.Domain, "allow localhost")]
    [InlineData("allow _sip._tcp.example.org", EgressTargetKind.Domain, "allow _sip._tcp.example.org")]
    [InlineData("allow bücher.example", EgressTargetKind.Domain, "allow xn--bcher-kva.example")]
    [InlineData("allow BÜCHER.example", EgressTargetKind.Domain, "allow xn--bcher-kva.example")]
    [InlineData("allow *.bücher.example:80", EgressTargetKind.Subdomains, "allow *.xn--bcher-kva.example:80")]
    [InlineData("allow 1.1.1.1", EgressTargetKind.Address, "allow 1.1.1.1")]
    [InlineData("allow 1.1.1.1/32", EgressTargetKind.Address, "allow 1.1.1.1")]
    [InlineData("allow 1.1.1.1:53", EgressTargetKind.Address, "allow 1.1.1.1:53")]
    [InlineData("deny 10.0.0.0/8", EgressTargetKind.Network, "deny 10.0.0.0/8")]
    [InlineData("deny 10.1.2.3/8:22", EgressTargetKind.Network, "deny 10.0.0.0/8:22")]
    [InlineData("deny 0.0.0.0/0", EgressTargetKind.Network, "deny 0.0.0.0/0")]
    [InlineData("allow 2001:DB8::1", EgressTargetKind.Address, "allow 2001:db8::1")]
    [InlineData("allow [2001:db8::1]", EgressTargetKind.Address, "allow 2001:db8::1")]
    [InlineData("allow [2001:db8::1]:443", EgressTargetKind.Address, "allow [2001:db8::1]:443")]
    [InlineData("allow 2001:db8::/32", EgressTargetKind.Network, "allow 2001:db8::/32")]
    [InlineData("allow [2001:db8:ffff::/32]:80,443", EgressTargetKind.Network, "allow [2001:db8::/32]:80,443")]
    [InlineData("allow ::/0", EgressTargetKind.Network, "allow ::/0")]
    [InlineData("allow *", EgressTargetKind.Any, "allow *")]
    [InlineData("deny *:25", EgressTargetKind.Any, "deny *:25")]
    [InlineData("allow *:80,443,8000-8999", EgressTargetKind.Any, "allow *:80,443,8000-8999")]
    [InlineData("allow example.org:1-65535", EgressTargetKind.Domain, "allow example.org:1-65535")]
    public void Parse_Rule_HasItsNormalForm(string text, EgressTargetKind kind, string normal)
    {
        EgressRule rule = EgressRule.Parse(text);

        Assert.Equal(kind, rule.Kind);
        Assert.Equal(normal, rule.ToString());
        Assert.Equal(rule, EgressRule.Parse(rule.ToString()));
        Assert.Equal(rule.GetHashCode(), EgressRule.Parse(normal).GetHashCode());
        Assert.True(EgressRule.TryParse(text, out EgressRule? tried));
        Assert.Equal(rule, tried);
    }

    [Theory]
    [InlineData("", "an action and a target")]
    [InlineData("example.org", "an action and a target")]
    [InlineData("permit example.org", "'allow' or 'deny'")]
    [InlineData("allow ", "an action and a target")]
    [InlineData("allow https://example.org", "not a URL")]
    [InlineData("allow example.org/path", "neither an IP address")]
    [InlineData("allow exam ple.org", "labels")]
    [InlineData("allow example..org", "labels")]
    [InlineData("allow .example.org", "labels")]
    [InlineData("allow -a.org", "labels")]
    [InlineData("allow a-.org", "labels")]
    [InlineData("allow a.*.org", "labels")]
    [InlineData("allow *a.org", "labels")]
    [InlineData("allow **", "labels")]
    [InlineData("allow *.", "1 to 253")]
    [InlineData("allow *.*", "labels")]
    [InlineData("allow .", "neither an IP address")]
    [InlineData("allow 1.2.3", "neither an IP address")]
    [InlineData("allow 256.1.1.1", "neither an IP address")]
    [InlineData("allow 01.1.1.1", "neither an IP address")]
    [InlineData("allow 1.1.1.1.", "neither an IP address")]
    [InlineData("allow 0x7f.0.0.1", "no top-level domain is a number")]
    [InlineData("allow 2130706433", "neither an IP address")]
    [InlineData("allow example.123", "no top-level domain is a number")]
    [InlineData("allow 10.0.0.0/33", "0 to 32")]
    [InlineData("allow 10.0.0.0/-1", "0 to 32")]
    [InlineData("allow 10.0.0.0/", "0 to 32")]
    [InlineData("allow 2001:db8::/129", "0 to 128")]
    [InlineData("allow 2001:db8::g", "neither an IP address")]
    [InlineData("allow fe80::1%eth0", "neither an IP address")]
    [InlineData("allow [10.0.0.1]:80", "brackets")]
    [InlineData("allow [example.org]:80", "brackets")]
    [InlineData("allow [*]:80", "brackets")]
    [InlineData("allow [2001:db8::1", "[ADDRESS]:PORTS")]
    [InlineData("allow [2001:db8::1]443", "[ADDRESS]:PORTS")]
    [InlineData("allow example.org:", "no port")]
    [InlineData("allow example.org:0", "no port")]
    [InlineData("allow example.org:65536", "no port")]
    [InlineData("allow example.org:http", "no port")]
    [InlineData("allow example.org:+80", "no port")]
    [InlineData("allow example.org:90-80", "no port")]
    [InlineData("allow example.org:80,", "no port")]
    [InlineData("allow example.org:80-", "no port")]
    [InlineData("allow example.org:1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33", "at most 32")]
    public void Parse_Nonsense_SaysWhatIsWrong(string text, string message)
    {
        ArgumentException failure = Assert.Throws<ArgumentException>(() => EgressRule.Parse(text));

        Assert.Contains(message, failure.Message, StringComparison.Ordinal);
        Assert.False(EgressRule.TryParse(text, out _));
    }

    [Fact]
    public void Parse_NamesAtTheirLimits_AreJudgedByLength()
    {
        string label = new('a', 63);
        string longest = $"{label}.{label}.{label}.{new string('a', 61)}";

        Assert.Equal(253, EgressRule.Allow(longest).Target.Length);
        Assert.Throws<ArgumentException>(() => EgressRule.Allow($"{longest}a"));
        Assert.Throws<ArgumentException>(() => EgressRule.Allow($"{label}a.org"));
        Assert.Throws<ArgumentException>(() => EgressRule.Allow(new string('1', 100_000)));
        Assert.Throws<ArgumentNullException>(() => EgressRule.Allow(null!));
        Assert.False(EgressRule.TryParse(null, out _));
    }

    [Fact]
    public void Policy_TooManyRules_IsRefused()
    {
        EgressRule[] rules = [.. Enumerable.Repeat(EgressRule.Deny("*"), EgressPolicy.MaxRules)];

        Assert.Equal(EgressPolicy.MaxRules, (EgressPolicy.DenyAll with { Rules = rules }).Rules.Count);
        Assert.Throws<ArgumentException>(() => EgressPolicy.DenyAll with { Rules = [.. rules, rules[0]] });
        Assert.Throws<ArgumentException>(() => EgressPolicy.DenyAll with { Rules = [null!] });
    }

    [Fact]
    public void Policy_RulesOfTheCaller_AreCopied()
    {
        EgressRule[] rules = [EgressRule.Deny("*")];
        EgressPolicy policy = EgressPolicy.AllowPublic with { Rules = rules };
        rules[0] = EgressRule.Allow("127.0.0.1");

        Assert.Equal("deny *", Assert.Single(policy.Rules).ToString());
        Assert.Throws<NotSupportedException>(() => ((IList<EgressRule>)policy.Rules)[0] = rules[0]);
    }

    [Fact]
    public void Policy_Equality_IsByActionAndRulesInOrder()
    {
        Assert.Equal(EgressPolicy.AllowOnly("a.org", "b.org"), EgressPolicy.Parse(EgressAction.Deny, "allow A.org", "allow b.org."));
        Assert.NotEqual(EgressPolicy.AllowOnly("a.org", "b.org"), EgressPolicy.AllowOnly("b.org", "a.org"));
        Assert.NotEqual(EgressPolicy.AllowPublic, EgressPolicy.DenyAll);
        Assert.Equal(EgressPolicy.DenyAll, new EgressPolicy());
    }
}
