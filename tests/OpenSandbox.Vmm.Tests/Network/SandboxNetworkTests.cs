using Microsoft.Extensions.Logging;

namespace OpenSandbox.Vmm.Tests.Network;

public sealed class SandboxNetworkTests
{
    [Fact]
    public async Task Policy_Updated_IsMadeFromThePresentOne()
    {
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowOnly("a.org"));
        var network = new SandboxNetwork(gateway);

        EgressPolicy updated = network.UpdatePolicy(static policy => policy with { Rules = [EgressRule.Deny("b.a.org"), .. policy.Rules] });

        Assert.Equal(updated, network.Policy);
        Assert.Equal(["deny b.a.org", "allow a.org"], network.Policy.Rules.Select(static rule => rule.ToString()));
        network.SetPolicy(EgressPolicy.DenyAll);
        Assert.Equal(EgressPolicy.DenyAll, network.Policy);
        Assert.Throws<ArgumentNullException>(() => network.SetPolicy(null!));
        Assert.Throws<ArgumentException>(() => network.UpdatePolicy(static _ => null!));
        Assert.Equal(EgressPolicy.DenyAll, network.Policy);
    }

    [Fact]
    public async Task Policy_UpdatedByMany_LosesNoUpdate()
    {
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.DenyAll);
        var network = new SandboxNetwork(gateway);

        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(() =>
        {
            for (int j = 0; j < 25; j++)
            {
                EgressRule rule = EgressRule.Allow($"n{j}.t{i}.org");
                network.UpdatePolicy(policy => policy with { Rules = [.. policy.Rules, rule] });
            }
        }))).WaitAsync(Limits.Wait);

        Assert.Equal(200, network.Policy.Rules.Distinct().Count());
    }

    [Fact]
    public async Task Refusals_TheRing_KeepsTheLast256()
    {
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.DenyAll);
        var network = new SandboxNetwork(gateway);
        for (int i = 1; i <= 300; i++)
        {
            await gateway.AskAsync($"n{i}.example.org");
        }

        Assert.Equal(Enumerable.Range(45, 256).Select(static i => ($"n{i}.example.org", (long)i)), network.RecentRefusals.Select(static r => (r.Target, r.Sequence)));
        Assert.Equal((300, 300), (network.Statistics.DnsQueries, network.Statistics.DnsRefused));
    }

    [Fact]
    public async Task Refusals_Watched_ComeAsTheyHappenUntilTheEnd()
    {
        EgressGateway gateway = Gateways.Make(EgressPolicy.DenyAll);
        await using IAsyncEnumerator<EgressRefusal> watcher = new SandboxNetwork(gateway).WatchRefusalsAsync(Limits.Token).GetAsyncEnumerator();
        ValueTask<bool> first = watcher.MoveNextAsync();

        await gateway.AskAsync("a.example.org");
        Assert.True(await first);
        Assert.Equal("a.example.org", watcher.Current.Target);
        await gateway.AskAsync("b.example.org");
        await gateway.DisposeAsync();

        Assert.True(await watcher.MoveNextAsync());
        Assert.Equal(2, watcher.Current.Sequence);
        Assert.False(await watcher.MoveNextAsync());
        await foreach (EgressRefusal late in new SandboxNetwork(gateway).WatchRefusalsAsync(Limits.Token))
        {
            Assert.Fail($"{late} came after the end");
        }
    }

    [Fact]
    public async Task Refusals_SlowWatcher_LosesTheOldestAndCanTell()
    {
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.DenyAll);
        await using IAsyncEnumerator<EgressRefusal> watcher = gateway.WatchRefusalsAsync(Limits.Token).GetAsyncEnumerator();
        ValueTask<bool> first = watcher.MoveNextAsync();
        await gateway.AskAsync("first.example.org");
        Assert.True(await first);

        for (int i = 0; i < RefusalLog.Kept + 10; i++)
        {
            await gateway.AskAsync("more.example.org");
        }

        Assert.True(await watcher.MoveNextAsync());
        Assert.Equal(12, watcher.Current.Sequence);
        Assert.Equal(10, gateway.Statistics.RefusalsMissed);
    }

    [Fact]
    public async Task Refusals_TooManyWatchers_AreTurnedAwayAndLeaversMakeRoom()
    {
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.DenyAll);
        var watchers = new List<IAsyncEnumerator<EgressRefusal>>();
        using var stop = new CancellationTokenSource();
        var pending = new List<Task>();
        for (int i = 0; i < RefusalLog.MaxWatchers; i++)
        {
            IAsyncEnumerator<EgressRefusal> watcher = gateway.WatchRefusalsAsync(stop.Token).GetAsyncEnumerator();
            watchers.Add(watcher);
            pending.Add(watcher.MoveNextAsync().AsTask());
        }

        await using IAsyncEnumerator<EgressRefusal> oneMore = gateway.WatchRefusalsAsync(Limits.Token).GetAsyncEnumerator();
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await oneMore.MoveNextAsync());
        await stop.CancelAsync();
        foreach (Task task in pending)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => task.WaitAsync(Limits.Wait));
        }

        await using IAsyncEnumerator<EgressRefusal> afterwards = gateway.WatchRefusalsAsync(Limits.Token).GetAsyncEnumerator();
        ValueTask<bool> next = afterwards.MoveNextAsync();
        await gateway.AskAsync("a.example.org");
        Assert.True(await next);
    }

    [Fact]
    public async Task Log_ManyRefusals_AreCountedInsteadOfWritten()
    {
        var clock = new ManualClock();
        var log = new ListLogger();
        await using var gateway = new EgressGateway(
            "sb-test", EgressPolicy.DenyAll, new EgressGatewayOptions { HostAddresses = Gateways.Host(), DnsServers = [], TimeProvider = clock }, log);
        for (int i = 0; i < 50; i++)
        {
            await gateway.AskAsync("evil.example.org");
        }

        clock.Advance(TimeSpan.FromSeconds(1));
        await gateway.AskAsync("evil.example.org");

        Assert.Equal(11, log.Lines.Count(static line => line.Id == 5_002));
        Assert.Contains("evil.example.org", log.Lines[0].Text, StringComparison.Ordinal);
        Assert.Contains("40 more", Assert.Single(log.Lines, static line => line.Id == 5_003).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Refusals_GuestsBytes_ArePrintable()
    {
        await using EgressGateway gateway = Gateways.Make(EgressPolicy.AllowPublic);

        await gateway.AskAsync(Wire.Query("a\n\u001b[31m b.example.org"));

        Assert.Equal("a??[31m?b.example.org", Assert.Single(gateway.RecentRefusals).Target);
    }

    private sealed class ListLogger : ILogger
    {
        internal List<(int Id, string Text)> Lines { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Add((eventId.Id, formatter(state, exception)));
    }
}
