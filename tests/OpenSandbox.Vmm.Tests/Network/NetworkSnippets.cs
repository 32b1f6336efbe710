namespace OpenSandbox.Vmm.Tests.Network;

/// <summary>The examples of docs/network.md: the architecture tests compare them, this compiles and runs them.</summary>
public sealed class NetworkSnippets
{
    [Fact]
    public void Policies()
    {
        var locked = EgressPolicy.AllowOnly("pypi.org", "*.pythonhosted.org");
        var open = EgressPolicy.AllowPublic with
        {
            Rules = [EgressRule.Deny("*:25"), EgressRule.Deny("*.ads.example"), EgressRule.Allow("10.1.0.0/16:5432")],
        };
        var parsed = EgressPolicy.Parse(EgressAction.Deny, "allow github.com:443,22", "deny *.example.org", "allow [2606:4700::/32]:443");

        Assert.Equal([2, 3, 3], ((EgressPolicy[])[locked, open, parsed]).Select(static policy => policy.Rules.Count));
    }

    [Fact]
    public async Task Changes()
    {
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic);
        var network = new SandboxNetwork(gateway);

        network.SetPolicy(EgressPolicy.DenyAll);
        network.UpdatePolicy(policy => policy with { Rules = [EgressRule.Allow("example.org"), .. policy.Rules] });

        Assert.Equal(EgressPolicy.AllowOnly("example.org"), network.Policy);
    }

    [Fact]
    public void Restrictions()
    {
        var limits = new EgressLimits { MaxConnections = 64, ReceiveBytesPerSecond = 10_000_000 };

        limits.Validate();
    }

    [Fact]
    public async Task Observation()
    {
        EgressGateway gateway = Gateways.Make(EgressPolicy.DenyAll);
        await gateway.DisposeAsync();
        await ObserveAsync(new SandboxNetwork(gateway), Limits.Token);
    }

    private static async Task ObserveAsync(SandboxNetwork network, CancellationToken cancellationToken)
    {
        EgressStatistics statistics = network.Statistics;
        Console.WriteLine($"{statistics.ConnectionsOpened} connections, {statistics.BytesReceived} bytes in, {statistics.DnsRefused} names refused");
        await foreach (EgressRefusal refusal in network.WatchRefusalsAsync(cancellationToken))
        {
            Console.WriteLine($"{refusal.Time:u} {refusal.Kind} {refusal.Target}:{refusal.Port} {refusal.Reason} {refusal.Rule} {refusal.Detail}");
        }
    }
}
