using System.Text;
using System.Text.Json;
using OpenSandbox.Qmp.Tests.Support;

namespace OpenSandbox.Qmp.Tests;

/// <summary>Ids, pipelining, errors, deadlines and cancellation.</summary>
public sealed class QmpClientCommandTests
{
    [Fact]
    public async Task Commands_InFlight_CarryIncreasingIdsInTheOrderOfTheCalls()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Task<JsonElement>[] calls = [.. Enumerable.Range(0, 100).Select(i => qmp.ExecuteAsync($"command-{i}"))];
        long last = 0;
        for (int i = 0; i < calls.Length; i++)
        {
            PeerCommand command = await peer.ReadAsync();
            Assert.Equal($"command-{i}", command.Name);
            Assert.True(command.Id > last);
            last = command.Id;
            await peer.ReturnAsync(command.Id, $"{i}");
        }

        for (int i = 0; i < calls.Length; i++)
        {
            Assert.Equal(i, (await calls[i].Soon()).GetInt32());
        }
    }

    [Fact]
    public async Task Commands_FromManyThreads_AreAllAnswered()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Task<int>[] callers = [.. Enumerable.Range(0, 64).Select(i => Task.Run(async () =>
            (await qmp.ExecuteAsync("echo", Encoding.UTF8.GetBytes($"{{\"n\":{i}}}")).Soon()).GetProperty("n").GetInt32()))];
        var ids = new HashSet<long>();
        foreach (Task<int> _ in callers)
        {
            PeerCommand command = await peer.ReadAsync();
            Assert.True(ids.Add(command.Id));
            await peer.ReturnAsync(command.Id, command.Arguments!);
        }

        Assert.Equal(Enumerable.Range(0, 64), await Task.WhenAll(callers).Soon());
    }

    [Fact]
    public async Task Replies_OutOfOrder_ReachTheirCallers()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Task<JsonElement> first = qmp.ExecuteAsync("first");
        Task<JsonElement> second = qmp.ExecuteAsync("second");
        PeerCommand one = await peer.ReadAsync();
        PeerCommand two = await peer.ReadAsync();
        await peer.ReturnAsync(two.Id, "\"two\"");
        Assert.Equal("two", (await second.Soon()).GetString());
        Assert.False(first.IsCompleted);
        await peer.ReturnAsync(one.Id, "\"one\"");
        Assert.Equal("one", (await first.Soon()).GetString());
    }

    [Fact]
    public async Task Command_Refused_ThrowsAndTheClientIsStillUsable()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Task refused = qmp.BlockdevDeleteAsync("disk0");
        await peer.RefuseAsync((await peer.ReadAsync()).Id, "GenericError", "Node 'disk0'\\nis busy");
        QmpCommandException e = await Assert.ThrowsAsync<QmpCommandException>(() => refused.Soon());
        Assert.Equal(("blockdev-del", "GenericError", "Node 'disk0' is busy"), (e.Command, e.Class, e.Description));

        Task next = qmp.StopAsync();
        await peer.ReturnAsync((await peer.ReadAsync()).Id);
        await next.Soon();
    }

    [Fact]
    public async Task Reply_UnknownId_IsDroppedAndCounted()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        await peer.ReturnAsync(4711);
        await peer.RefuseAsync(-1, "GenericError", "what?");
        Task call = qmp.StopAsync();
        await peer.ReturnAsync((await peer.ReadAsync()).Id);
        await call.Soon();
        Assert.Equal(2, qmp.DroppedReplies);
    }

    [Fact]
    public async Task Command_Expired_ThrowsNamingItAndItsLateReplyIsDropped()
    {
        var clock = new ManualTimeProvider();
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync(new QmpClientOptions { TimeProvider = clock, CommandTimeout = TimeSpan.FromSeconds(5) });
        Task slow = qmp.ContinueAsync();
        Task slower = qmp.BlockdevDeleteAsync("disk0", TimeSpan.FromSeconds(7));
        PeerCommand command = await peer.ReadAsync();
        PeerCommand second = await peer.ReadAsync();
        clock.Advance(TimeSpan.FromSeconds(5));
        QmpTimeoutException e = await Assert.ThrowsAsync<QmpTimeoutException>(() => slow.Soon());
        Assert.Equal(("cont", TimeSpan.FromSeconds(5)), (e.Operation, e.Limit));
        Assert.Contains("cont", e.Message, StringComparison.Ordinal);
        Assert.False(slower.IsCompleted);

        clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(TimeSpan.FromSeconds(7), (await Assert.ThrowsAsync<QmpTimeoutException>(() => slower.Soon())).Limit);

        await peer.ReturnAsync(command.Id);
        await peer.ReturnAsync(second.Id);
        Task next = qmp.StopAsync();
        await peer.ReturnAsync((await peer.ReadAsync()).Id);
        await next.Soon();
        Assert.Equal(2, qmp.DroppedReplies);
    }

    [Fact]
    public async Task Command_Expired_OnTheSystemClock()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        await Assert.ThrowsAsync<QmpTimeoutException>(() => qmp.ExecuteAsync("never", timeout: TimeSpan.FromMilliseconds(20)).Soon());
    }

    [Fact]
    public async Task Command_Cancelled_WaitEndsWithTheCallersTokenAndItsLateReplyIsDropped()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using var cancel = new CancellationTokenSource();
        Task<JsonElement> abandoned = qmp.ExecuteAsync("slow", cancellationToken: cancel.Token);
        PeerCommand command = await peer.ReadAsync();
        await cancel.CancelAsync();
        OperationCanceledException e = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => abandoned.Soon());
        Assert.Equal(cancel.Token, e.CancellationToken);

        await peer.ReturnAsync(command.Id);
        Task<QmpRunStatus> next = qmp.QueryStatusAsync(CancellationToken.None);
        await peer.ReturnAsync((await peer.ReadAsync()).Id, """{"status": "guest-panicked", "singlestep": false, "running": false}""");
        Assert.Equal(new QmpRunStatus("guest-panicked", false), await next.Soon());
        Assert.Equal(1, qmp.DroppedReplies);
    }

    [Fact]
    public async Task Command_TokenAlreadyCancelled_SendsNothing()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => qmp.StopAsync(new CancellationToken(canceled: true)));
        Task next = qmp.ContinueAsync();
        PeerCommand command = await peer.ReadAsync();
        Assert.Equal("cont", command.Name);
        await peer.ReturnAsync(command.Id);
        await next.Soon();
    }

    [Fact]
    public async Task Command_OneMoreThanTheLimit_ThrowsAtOnce()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync(new QmpClientOptions { MaxInFlightCommands = 2 });
        Task first = qmp.StopAsync();
        Task second = qmp.StopAsync();
        Assert.Throws<InvalidOperationException>(() => { _ = qmp.StopAsync(); });
        await peer.ReturnAsync((await peer.ReadAsync()).Id);
        await first.Soon();
        Task third = qmp.StopAsync();
        await peer.ReturnAsync((await peer.ReadAsync()).Id);
        await peer.ReturnAsync((await peer.ReadAsync()).Id);
        await Task.WhenAll(second, third).Soon();
    }

    [Fact]
    public async Task Commands_PeerReadsNothing_QueueIsBoundedAndStaysUsable()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        byte[] large = Encoding.UTF8.GetBytes($"{{\"x\":\"{new string('x', 1_000_000)}\"}}");
        var calls = new List<Task>();
        InvalidOperationException e = Assert.Throws<InvalidOperationException>(() =>
        {
            while (calls.Count < 20)
            {
                calls.Add(qmp.ExecuteAsync("large", large));
            }
        });
        Assert.Contains("wait for QEMU", e.Message, StringComparison.Ordinal);
        Assert.InRange(calls.Count, 4, 8);
        Assert.All(calls, call => Assert.False(call.IsCompleted));
    }

    [Theory]
    [InlineData("")]
    [InlineData("stop\"}{")]
    [InlineData("stop\n")]
    [InlineData("stöp")]
    public async Task Execute_NameThatIsNone_Throws(string name)
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Assert.Throws<ArgumentException>(() => { _ = qmp.ExecuteAsync(name); });
    }

    [Theory]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("{}{}")]
    [InlineData("{\"a\":1},\"id\":7}")]
    [InlineData("1")]
    public async Task Execute_ArgumentsThatAreNoObject_ThrowAndSendNothing(string json)
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Assert.Throws<ArgumentException>(() => { _ = qmp.ExecuteAsync("x", Encoding.UTF8.GetBytes(json)); });
        Task next = qmp.StopAsync();
        PeerCommand command = await peer.ReadAsync();
        Assert.Equal(("stop", 2L), (command.Name, command.Id));
        await peer.ReturnAsync(command.Id);
        await next.Soon();
    }

    [Fact]
    public async Task Execute_CallbackThrowsOrLeavesItOpen_NothingIsSent()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Assert.Throws<FormatException>(() => { _ = qmp.ExecuteAsync("x", _ => throw new FormatException()); });
        Assert.Throws<ArgumentException>(() => { _ = qmp.ExecuteAsync("x", writer => writer.WriteStartArray("open")); });
        Task next = qmp.ExecuteAsync("y", writer => writer.WriteString("a", "b"));
        PeerCommand command = await peer.ReadAsync();
        Assert.Equal(("y", "{\"a\":\"b\"}"), (command.Name, command.Arguments));
        await peer.ReturnAsync(command.Id);
        await next.Soon();
    }

    [Fact]
    public async Task TypedCommands_Arguments_AreWhatQemuDocuments()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        (Func<Task> Call, string Name, string? Arguments)[] table =
        [
            (() => qmp.StopAsync(), "stop", null),
            (() => qmp.ContinueAsync(), "cont", null),
            (() => qmp.SetMigrationCapabilityAsync("x-ignore-shared", true), "migrate-set-capabilities",
                """{"capabilities":[{"capability":"x-ignore-shared","state":true}]}"""),
            (() => qmp.SetMigrationCapabilitiesAsync(new Dictionary<string, bool>(StringComparer.Ordinal) { ["events"] = true, ["xbzrle"] = false }),
                "migrate-set-capabilities",
                """{"capabilities":[{"capability":"events","state":true},{"capability":"xbzrle","state":false}]}"""),
            (() => qmp.MigrateAsync("fd:state"), "migrate", """{"uri":"fd:state"}"""),
            (() => qmp.MigrateIncomingAsync("fd:state"), "migrate-incoming", """{"uri":"fd:state"}"""),
            (() => qmp.CloseFdAsync("state"), "closefd", """{"fdname":"state"}"""),
            (() => qmp.RemoveFdAsync(3), "remove-fd", """{"fdset-id":3}"""),
            (() => qmp.RemoveFdAsync(3, 4), "remove-fd", """{"fdset-id":3,"fd":4}"""),
            (() => qmp.QomSetAsync("/machine/mem0", "requested-size", 1L << 40), "qom-set",
                """{"path":"/machine/mem0","property":"requested-size","value":1099511627776}"""),
            (() => qmp.QomSetAsync("/a", "b", true), "qom-set", """{"path":"/a","property":"b","value":true}"""),
            (() => qmp.QomSetAsync("/a", "b", "c"), "qom-set", """{"path":"/a","property":"b","value":"c"}"""),
            (() => qmp.QomGetAsync("/a", "b"), "qom-get", """{"path":"/a","property":"b"}"""),
            (() => qmp.BlockdevAddAsync("""{"driver":"null-co"}"""u8.ToArray()), "blockdev-add", """{"driver":"null-co"}"""),
            (() => qmp.BlockdevDeleteAsync("n"), "blockdev-del", """{"node-name":"n"}"""),
            (() => qmp.BlockdevSnapshotAsync("n", "o"), "blockdev-snapshot", """{"node":"n","overlay":"o"}"""),
            (() => qmp.BlockdevReopenAsync("""{"driver":"raw"}"""u8.ToArray()), "blockdev-reopen", """{"options":[{"driver":"raw"}]}"""),
            (() => qmp.XenSaveDevicesStateAsync("/proc/self/fd/9", live: false), "xen-save-devices-state",
                """{"filename":"/proc/self/fd/9","live":false}"""),
            (() => qmp.DeviceAddAsync("""{"driver":"virtio-rng-pci"}"""u8.ToArray()), "device_add", """{"driver":"virtio-rng-pci"}"""),
            (() => qmp.DeviceDeleteAsync("rng0"), "device_del", """{"id":"rng0"}"""),
        ];
        foreach ((Func<Task> call, string name, string? arguments) in table)
        {
            Task pending = call();
            PeerCommand command = await peer.ReadAsync();
            Assert.Equal((name, arguments), (command.Name, command.Arguments));
            await peer.ReturnAsync(command.Id);
            await pending.Soon();
        }
    }

    [Fact]
    public async Task QueryCommands_Replies_AreRead()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();

        Task<QmpMigrationStatus> none = qmp.QueryMigrateAsync();
        await peer.ReturnAsync((await peer.ReadAsync()).Id);
        Assert.Equal(new QmpMigrationStatus(), await none.Soon());

        Task<QmpMigrationStatus> failed = qmp.QueryMigrateAsync();
        await peer.ReturnAsync(
            (await peer.ReadAsync()).Id, """{"status":"failed","error-desc":"no room","total-time":5,"ram":{"transferred":77,"total":1}}""");
        Assert.Equal(
            new QmpMigrationStatus { Status = "failed", ErrorDescription = "no room", TotalTimeMs = 5, RamTransferredBytes = 77 }, await failed.Soon());

        Task<IReadOnlyList<QmpMemoryDevice>> devices = qmp.QueryMemoryDevicesAsync();
        await peer.ReturnAsync(
            (await peer.ReadAsync()).Id,
            """[{"type":"virtio-mem","data":{"id":"mem0","memaddr":1,"requested-size":4,"size":2,"max-size":8,"block-size":2,"node":0,"memdev":"/m"}}]""");
        Assert.Equal(
            [new QmpMemoryDevice { Type = "virtio-mem", Id = "mem0", SizeBytes = 2, RequestedSizeBytes = 4, MaxSizeBytes = 8, BlockSizeBytes = 2 }],
            await devices.Soon());
    }
}
