using System.Text;
using System.Text.Json;
using OpenSandbox.Qmp.Tests.Support;

namespace OpenSandbox.Qmp.Tests;

/// <summary>The end of a connection, and a QEMU that means harm.</summary>
public sealed class QmpClientFailureTests
{
    [Fact]
    public async Task ConnectionLost_PendingAndLaterCalls_AllGetTheSameFirstCause()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using QmpEventSubscription events = qmp.Subscribe();
        Task[] pending = [.. Enumerable.Range(0, 50).Select(_ => qmp.ExecuteAsync("slow"))];
        ValueTask<QmpEvent> read = events.ReadAsync();
        await peer.ReadAsync();
        peer.Socket.Dispose();

        QmpConnectionException cause = await qmp.Completion.Soon();
        foreach (Task call in pending)
        {
            Assert.Same(cause, await Assert.ThrowsAsync<QmpConnectionException>(() => call.Soon()));
        }

        Assert.Same(cause, await Assert.ThrowsAsync<QmpConnectionException>(() => read.Soon()));
        Assert.Same(cause, await Assert.ThrowsAsync<QmpConnectionException>(() => qmp.StopAsync().Soon()));
        Assert.Same(cause, await Assert.ThrowsAsync<QmpConnectionException>(() => qmp.Subscribe("STOP").ReadAsync().Soon()));
    }

    [Fact]
    public async Task ConnectionLost_ReplyAndEventWrittenBefore_AreStillDelivered()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using QmpEventSubscription events = qmp.Subscribe("SHUTDOWN");
        Task quit = qmp.QuitAsync();
        await peer.ReturnAsync((await peer.ReadAsync()).Id);
        await peer.EventAsync("SHUTDOWN", """{"guest": false, "reason": "host-qmp-quit"}""");
        peer.Socket.Dispose();
        await quit.Soon();
        QmpConnectionException cause = await qmp.Completion.Soon();
        Assert.Contains("after quit", cause.Message, StringComparison.Ordinal);
        Assert.Equal("SHUTDOWN", (await events.ReadAsync().Soon()).Name);
        await Assert.ThrowsAsync<QmpConnectionException>(() => events.ReadAsync().Soon());
    }

    [Fact]
    public async Task SendFails_LastWordsOfQemu_AreStillRead()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        using QmpEventSubscription events = qmp.Subscribe("SHUTDOWN");
        byte[] large = Encoding.UTF8.GetBytes($"{{\"x\":\"{new string('x', 2_000_000)}\"}}");
        Task<JsonElement> stuck = qmp.ExecuteAsync("large", large);
        await peer.EventAsync("SHUTDOWN");
        peer.Socket.Dispose();
        await Assert.ThrowsAsync<QmpConnectionException>(() => stuck.Soon());
        Assert.Equal("SHUTDOWN", (await events.ReadAsync().Soon()).Name);
    }

    [Fact]
    public async Task ConnectionLost_InTheMiddleOfALine_SaysSo()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        await peer.SendAsync("{\"return\": {}");
        peer.Socket.Dispose();
        Assert.Contains("middle of a line", (await qmp.Completion.Soon()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Dispose_WhilePending_FailsTheCallsAndLaterOnesThrowObjectDisposed()
    {
        using var peer = new ScriptedPeer();
        QmpClient qmp = await peer.ConnectAsync();
        QmpEventSubscription events = qmp.Subscribe();
        Task pending = qmp.StopAsync();
        ValueTask<QmpEvent> read = events.ReadAsync();
        await qmp.DisposeAsync().AsTask().Soon();
        await qmp.DisposeAsync().AsTask().Soon();
        QmpConnectionException cause = await qmp.Completion.Soon();
        Assert.Same(cause, await Assert.ThrowsAsync<QmpConnectionException>(() => pending.Soon()));
        Assert.Same(cause, await Assert.ThrowsAsync<QmpConnectionException>(() => read.Soon()));
        Assert.Throws<ObjectDisposedException>(() => { _ = qmp.StopAsync(); });
        Assert.Throws<ObjectDisposedException>(() => qmp.Subscribe());
    }

    [Fact]
    public async Task Dispose_WhilePeerReadsNothing_Returns()
    {
        using var peer = new ScriptedPeer();
        QmpClient qmp = await peer.ConnectAsync();
        Task stuck = qmp.ExecuteAsync("large", Encoding.UTF8.GetBytes($"{{\"x\":\"{new string('x', 3_000_000)}\"}}"));
        await qmp.DisposeAsync().AsTask().Soon();
        await Assert.ThrowsAsync<QmpConnectionException>(() => stuck.Soon());
    }

    [Fact]
    public async Task Line_LongerThanTheLimit_EndsTheConnectionWithoutBufferingIt()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync(new QmpClientOptions { MaxLineBytes = 64 * 1024 });
        byte[] chunk = Encoding.UTF8.GetBytes(new string(' ', 16 * 1024));
        long sent = 0;
        await Assert.ThrowsAnyAsync<System.Net.Sockets.SocketException>(async () =>
        {
            // No line end, ever: the client must hang up soon after its limit, not when we stop.
            for (; sent < 64 * 1024 * 1024; sent += chunk.Length)
            {
                await peer.SendAsync(chunk);
            }
        });
        QmpProtocolException e = Assert.IsType<QmpProtocolException>(await qmp.Completion.Soon());
        Assert.Contains("65536", e.Message, StringComparison.Ordinal);
        Assert.InRange(sent, 32 * 1024, 4 * 1024 * 1024);
    }

    [Theory]
    [InlineData(65_536, true)]
    [InlineData(65_537, false)]
    public async Task Line_AtTheLimit_IsTakenAndOneByteMoreIsNot(int length, bool taken)
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync(new QmpClientOptions { MaxLineBytes = 65_536 });
        Task<JsonElement> call = qmp.ExecuteAsync("x");
        long id = (await peer.ReadAsync()).Id;
        string line = $"{{\"id\":{id},\"return\":\"\"}}";
        string padded = $"{{\"id\":{id},\"return\":\"{new string('y', length - line.Length)}\"}}\n";
        await peer.SendAsync(padded);
        if (taken)
        {
            Assert.Equal(length - line.Length, (await call.Soon()).GetString()!.Length);
        }
        else
        {
            await Assert.ThrowsAsync<QmpProtocolException>(() => call.Soon());
        }
    }

    public static TheoryData<string, byte[]> HostileLines() => new()
    {
        { "100,000 nested arrays", Encoding.UTF8.GetBytes(new string('[', 100_000) + "\n") },
        { "nested arrays in a reply", Encoding.UTF8.GetBytes("{\"id\":2,\"return\":" + new string('[', 64) + new string(']', 64) + "}\n") },
        { "invalid UTF-8", [.. "{\"event\":\"A\xe9"u8, 0xC3, 0x28, .. "\",\"timestamp\":{}}\n"u8] },
        { "half a surrogate pair", "{\"return\":{\"a\":\"\\ud800\"},\"id\":2}\n"u8.ToArray() },
        { "half a surrogate pair in a name", "{\"return\":{\"\\udc00\":1},\"id\":2}\n"u8.ToArray() },
        { "not JSON", "hello\n"u8.ToArray() },
        { "two values", "{\"return\":{},\"id\":2}{}\n"u8.ToArray() },
        { "an array", "[]\n"u8.ToArray() },
        { "nothing known", "{}\n"u8.ToArray() },
        { "an empty line", "\n"u8.ToArray() },
        { "a NUL", "\0\n"u8.ToArray() },
        { "return and error", "{\"return\":{},\"error\":{\"class\":\"a\",\"desc\":\"b\"},\"id\":2}\n"u8.ToArray() },
        { "an error without an id", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error\"}}\n"u8.ToArray() },
        { "an error without a class", "{\"error\":{\"desc\":\"b\"},\"id\":2}\n"u8.ToArray() },
        { "an error that is a string", "{\"error\":\"no\",\"id\":2}\n"u8.ToArray() },
        { "a reply without an id", "{\"return\":{}}\n"u8.ToArray() },
        { "an id that is a string", "{\"return\":{},\"id\":\"2\"}\n"u8.ToArray() },
        { "an id that is a fraction", "{\"return\":{},\"id\":2.5}\n"u8.ToArray() },
        { "an id beyond 64 bits", "{\"return\":{},\"id\":92233720368547758070}\n"u8.ToArray() },
        { "an id twice", "{\"return\":{},\"id\":2,\"id\":2}\n"u8.ToArray() },
        { "an event with a number for a name", "{\"event\":1,\"timestamp\":{\"seconds\":1,\"microseconds\":1}}\n"u8.ToArray() },
        { "an event with a line feed in its name", "{\"event\":\"A\\nB\"}\n"u8.ToArray() },
        { "an event with a long name", Encoding.UTF8.GetBytes($"{{\"event\":\"{new string('A', 129)}\"}}\n") },
        { "an event at the end of time", "{\"event\":\"A\",\"timestamp\":{\"seconds\":9223372036854775807,\"microseconds\":1}}\n"u8.ToArray() },
        { "an event with data that is a string", "{\"event\":\"A\",\"data\":\"x\"}\n"u8.ToArray() },
        { "the wrong kind of value", "{\"return\":[],\"id\":2}\n"u8.ToArray() },
    };

    [Theory]
    [MemberData(nameof(HostileLines))]
    public async Task Line_ThatIsNotQmp_EndsTheConnectionForEverybody(string what, byte[] line)
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Task call = qmp.StopAsync();
        Task other = qmp.ContinueAsync();
        Assert.Equal(2, (await peer.ReadAsync()).Id);
        await peer.SendAsync(line);
        QmpProtocolException cause = await Assert.ThrowsAsync<QmpProtocolException>(() => call.Soon());
        Assert.True(cause == await qmp.Completion.Soon(), what);
        Assert.Same(cause, await Assert.ThrowsAsync<QmpProtocolException>(() => other.Soon()));
    }

    [Fact]
    public async Task Reply_SixtyThreeLevelsDeep_IsTaken()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Task<JsonElement> call = qmp.ExecuteAsync("x");
        await peer.ReturnAsync((await peer.ReadAsync()).Id, new string('[', 63) + new string(']', 63));
        Assert.Equal(JsonValueKind.Array, (await call.Soon()).ValueKind);
    }

    [Fact]
    public async Task Status_WrongShape_EndsTheConnection()
    {
        using var peer = new ScriptedPeer();
        await using QmpClient qmp = await peer.ConnectAsync();
        Task<QmpRunStatus> call = qmp.QueryStatusAsync();
        await peer.ReturnAsync((await peer.ReadAsync()).Id, """{"status": 5, "running": true}""");
        Assert.Same(await qmp.Completion.Soon(), await Assert.ThrowsAsync<QmpProtocolException>(() => call.Soon()));
    }
}
