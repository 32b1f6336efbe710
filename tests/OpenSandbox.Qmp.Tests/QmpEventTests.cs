using System.Text.Json;
using OpenSandbox.Qmp.Tests.Support;

namespace OpenSandbox.Qmp.Tests;

/// <summary>Subscriptions.</summary>
public sealed class QmpEventTests
{
    [Fact]
    public async Task Subscribe_EventsBeforeAndAfter_OnlyLaterOnesOfItsNamesCome()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        await peer.EventAsync("STOP", """{"n": 0}""");
        await SynchroniseAsync(peer, qmp);
        using QmpEventSubscription events = qmp.Subscribe("STOP", "RESUME");
        await peer.EventAsync("STOP", """{"n": 1}""");
        await peer.EventAsync("RESET", """{"n": 2}""");
        await peer.EventAsync("RESUME", """{"n": 3}""");
        QmpEvent first = await events.ReadAsync().Soon();
        QmpEvent second = await events.ReadAsync().Soon();
        Assert.Equal(("STOP", 1), (first.Name, first.Data.GetProperty("n").GetInt32()));
        Assert.Equal(("RESUME", 3), (second.Name, second.Data.GetProperty("n").GetInt32()));
        Assert.Equal(DateTimeOffset.FromUnixTimeMilliseconds(1700000000123).AddMicroseconds(456), first.Timestamp);
    }

    [Fact]
    public async Task Event_WithoutDataAndWithoutClock_IsTaken()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using QmpEventSubscription events = qmp.Subscribe();
        await peer.SendAsync("{\"event\": \"POWERDOWN\", \"timestamp\": {\"seconds\": -1, \"microseconds\": -1}}\r\n");
        QmpEvent e = await events.ReadAsync().Soon();
        Assert.Equal(("POWERDOWN", null, JsonValueKind.Undefined), (e.Name, e.Timestamp, e.Data.ValueKind));
    }

    [Fact]
    public async Task Subscription_SlowReader_LosesTheOldestAndCountsThem()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync(new QmpClientOptions { EventQueueCapacity = 4 });
        using QmpEventSubscription slow = qmp.Subscribe("A");
        for (int i = 0; i < 10; i++)
        {
            await peer.EventAsync("A", $"{{\"n\": {i}}}");
        }

        await SynchroniseAsync(peer, qmp);
        Assert.Equal(6, slow.Dropped);
        for (int i = 6; i < 10; i++)
        {
            Assert.Equal(i, (await slow.ReadAsync().Soon()).Data.GetProperty("n").GetInt32());
        }
    }

    [Fact]
    public async Task Subscription_LargeEvents_AreBoundedByTheirSize()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync(new QmpClientOptions { EventQueueBytes = 64 * 1024 });
        using QmpEventSubscription slow = qmp.Subscribe("A");
        string large = $"{{\"x\": \"{new string('x', 20_000)}\"}}";
        for (int i = 0; i < 10; i++)
        {
            await peer.EventAsync("A", large);
        }

        // Larger than all that the queue may hold, in tokens rather than in text: kept, because it is alone.
        await peer.EventAsync("A", $"{{\"x\": [{string.Join(',', Enumerable.Repeat(1, 10_000))}]}}");
        await SynchroniseAsync(peer, qmp);
        Assert.Equal(10, slow.Dropped);
        Assert.Equal(JsonValueKind.Array, (await slow.ReadAsync().Soon()).Data.GetProperty("x").ValueKind);
    }

    [Fact]
    public async Task Subscription_Disposed_ReaderGetsObjectDisposedAndOthersGoOn()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        QmpEventSubscription gone = qmp.Subscribe("A");
        using QmpEventSubscription other = qmp.Subscribe("A");
        ValueTask<QmpEvent> read = gone.ReadAsync();
        gone.Dispose();
        gone.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => read.Soon());
        await peer.EventAsync("A");
        Assert.Equal("A", (await other.ReadAsync().Soon()).Name);
    }

    [Fact]
    public async Task ReadAll_ConnectionEnds_YieldsWhatIsQueuedThenThrows()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using QmpEventSubscription events = qmp.Subscribe();
        await peer.EventAsync("A");
        await peer.EventAsync("B");
        peer.Socket.Dispose();
        var names = new List<string>();
        await Assert.ThrowsAsync<QmpConnectionException>(async () =>
        {
            using var deadline = new CancellationTokenSource(Deadlines.Limit);
            await foreach (QmpEvent e in events.ReadAllAsync(deadline.Token))
            {
                names.Add(e.Name);
            }
        });
        Assert.Equal(["A", "B"], names);
    }

    [Fact]
    public async Task Read_Cancelled_LosesNoEvent()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using QmpEventSubscription events = qmp.Subscribe();
        using var cancel = new CancellationTokenSource();
        ValueTask<QmpEvent> read = events.ReadAsync(cancel.Token);
        await cancel.CancelAsync();
        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.Soon());
        Assert.Equal(cancel.Token, e.CancellationToken);
        await peer.EventAsync("A");
        Assert.Equal("A", (await events.ReadAsync().Soon()).Name);
    }

    [Fact]
    public async Task WaitForEvent_CalledBeforeTheCause_GetsTheEventThatThePredicateAccepts()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Task<QmpEvent> waiting = qmp.WaitForEventAsync(["MIGRATION"], e => e.Data.GetProperty("status").ValueEquals("completed"), Deadlines.Limit);
        await peer.EventAsync("MIGRATION", """{"status": "active"}""");
        await peer.EventAsync("MIGRATION", """{"status": "completed"}""");
        Assert.Equal("completed", (await waiting.Soon()).Data.GetProperty("status").GetString());
    }

    [Fact]
    public async Task WaitForEvent_NoneComes_TimesOutNamingIt()
    {
        var clock = new ManualTimeProvider();
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync(new QmpClientOptions { TimeProvider = clock });
        Task<QmpEvent> waiting = qmp.WaitForEventAsync(["STOP", "RESUME"], null, TimeSpan.FromSeconds(2));
        clock.Advance(TimeSpan.FromSeconds(3));
        QmpTimeoutException e = await Assert.ThrowsAsync<QmpTimeoutException>(() => waiting.Soon());
        Assert.Equal(("event STOP|RESUME", TimeSpan.FromSeconds(2)), (e.Operation, e.Limit));
    }

    [Fact]
    public async Task EventFlood_NobodyReads_CommandsAreStillAnswered()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using QmpEventSubscription idle = qmp.Subscribe();
        for (int i = 0; i < 5_000; i++)
        {
            await peer.EventAsync("FLOOD", """{"some": ["data", 1, 2, 3]}""");
        }

        await SynchroniseAsync(peer, qmp);
        Assert.Equal(5_000 - 256, idle.Dropped);
    }

    /// <summary>When this returns, the client has handled all that the peer sent before.</summary>
    private static async Task SynchroniseAsync(ScriptedPeer peer, QmpClient qmp)
    {
        Task call = qmp.StopAsync();
        await peer.ReturnAsync((await peer.ReadAsync()).Id);
        await call.Soon();
    }
}
