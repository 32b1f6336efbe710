using System.Diagnostics;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Text;

namespace OpenSandbox.Host.Tests.BadInput;

/// <summary>Clients that speak no HTTP, or slowly, or half of it, or too much of it.</summary>
[Collection(ServerFixture.Collection)]
public sealed class ConnectionTests(ServerFixture fixture)
{
    public static TheoryData<string, int> NoRequests => new()
    {
        { "hello\r\n\r\n", 400 },
        { "GET\r\n\r\n", 400 },
        { "GET /health\r\n\r\n", 400 },
        { "GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", 505 },
        { "GET /health HTTP/1.1\r\n\r\n", 400 },
        { "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
        { "GET /health HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
        { "GET /health HTTP/1.1\r\nHost: localhost\r\nNo colon\r\n\r\n", 400 },
        { "GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n folded\r\n\r\n", 400 },
        { "GET /health HTTP/1.1\r\nHost: localhost\r\nX\0: a\r\n\r\n", 400 },
        { "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400 },
        { "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400 },
        { "GET health HTTP/1.1\r\nHost: localhost\r\n\r\n", 405 },
        { "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 404 },
        { "GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400 },
        { "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 401 },
        { "GET /" + new string('a', 20_000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414 },
        { "GET /health HTTP/1.1\r\nHost: localhost\r\n" + string.Concat(Enumerable.Range(0, 200).Select(static i => $"X-{i}: a\r\n")) + "\r\n", 431 },
        { "GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + new string('a', 40_000) + "\r\n\r\n", 431 },
        { "GET /health HTTP/1.1\r\nHost: localhost\r\n" + string.Concat(Enumerable.Repeat("Cookie: " + new string('c', 4_000) + "\r\n", 20)) + "\r\n", 431 },
    };

    [SkippableTheory]
    [MemberData(nameof(NoRequests))]
    public async Task Bytes_NoGoodRequest_AreRefusedInJson(string request, int status)
    {
        RawAnswer answer = await SendAsync(request);

        Assert.True(status == answer.Status || (status == 404 && answer.Status == 401), $"{status} was expected, not {answer.Status}: {answer.Text}");
        BadInputTests.AssertRefusal(answer, fixture);
    }

    [SkippableFact]
    public async Task Request_AfterGoodOnesOnTheSameConnection_IsRefusedInJson()
    {
        using Socket socket = await ConnectAsync();
        for (int i = 0; i < 3; i++)
        {
            await socket.SendAsync("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"u8.ToArray(), Deadline.In(30));
            Assert.Equal(200, (await RawHttp.ReadAsync(socket, Deadline.In(30))).Status);
        }

        await socket.SendAsync("garbage\r\n\r\n"u8.ToArray(), Deadline.In(30));
        RawAnswer answer = await RawHttp.ReadAsync(socket, Deadline.In(30));

        Assert.Equal(400, answer.Status);
        Assert.Equal("close", answer.Headers["Connection"]);
        BadInputTests.AssertRefusal(answer, fixture);
        Assert.Empty(await RawHttp.ReadToEndAsync(socket, Deadline.In(30)));
    }

    /// <summary>Each has a connection of its own, and all wait at the same time.</summary>
    [SkippableFact]
    public async Task Clients_ThatAreTooSlow_AreGivenUp()
    {
        _ = fixture.Server;
        await Task.WhenAll(
            HeadersThatNeverEndAsync(),
            BodyThatNeverComesAsync("POST", "/exec/run", 100_000),
            BodyThatNeverComesAsync("PUT", "/files?path=/tmp/slow", 100_000),
            ReaderThatDoesNotReadAsync());
        await AnswersAsync();
        fixture.Log.AssertNone();
    }

    private async Task HeadersThatNeverEndAsync()
    {
        using Socket socket = await ConnectAsync();
        await socket.SendAsync("GET /health HTTP/1.1\r\nHost: localhost\r\nX: "u8.ToArray(), Deadline.In(30));

        RawAnswer answer = await RawHttp.ReadAsync(socket, Deadline.In(60));

        Assert.Equal(408, answer.Status);
        BadInputTests.AssertRefusal(answer, fixture);
    }

    private async Task BodyThatNeverComesAsync(string method, string route, int length)
    {
        using Socket socket = await ConnectAsync();
        string head = $"{method} /api/sandboxes/{fixture.Sandbox}{route} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {ServerFixture.Key}\r\nContent-Length: {length}\r\n\r\n{{";
        long begun = Stopwatch.GetTimestamp();
        await socket.SendAsync(Encoding.ASCII.GetBytes(head), Deadline.In(30));

        RawAnswer answer = await RawHttp.ReadAsync(socket, Deadline.In(60));

        Assert.Equal(408, answer.Status);
        Assert.InRange(Stopwatch.GetElapsedTime(begun).TotalSeconds, 2, 45);
        BadInputTests.AssertRefusal(answer, fixture);
        await AnswersAsync();
    }

    [SkippableFact]
    public async Task Clients_ThatGoInTheMiddle_LeaveNothing()
    {
        byte[] head = Encoding.ASCII.GetBytes($"PUT /api/sandboxes/{fixture.Sandbox}/files?path=/tmp/cut HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {ServerFixture.Key}\r\nContent-Length: 1000000\r\n\r\nhalf");
        for (int i = 0; i < 50; i++)
        {
            using Socket socket = await ConnectAsync();
            await socket.SendAsync(head.AsMemory(0, i % 2 == 0 ? head.Length : 40), Deadline.In(30));
            socket.LingerState = new LingerOption(true, 0); // a reset
        }

        await AnswersAsync();
        RawAnswer read = await fixture.SendAsync("GET", $"/api/sandboxes/{fixture.Sandbox}/files?path=/tmp/cut");
        Assert.Equal(500, read.Status); // an upload that was cut is no file
        fixture.Log.AssertNone();
    }

    private async Task ReaderThatDoesNotReadAsync()
    {
        RawAnswer made = await fixture.DoAsync("POST", $"/api/sandboxes/{fixture.Sandbox}/exec/run", """{"cmd":"head -c 60000000 /dev/zero > /workspace/big"}""");
        Assert.Equal(0, made.Json.GetProperty("exitCode").GetInt32());
        using Socket socket = await ConnectAsync();
        socket.ReceiveBufferSize = 4_096;
        await socket.SendAsync(Encoding.ASCII.GetBytes($"GET /api/sandboxes/{fixture.Sandbox}/files?path=/workspace/big HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {ServerFixture.Key}\r\n\r\n"), Deadline.In(30));

        // The server's end of the connection is what shows it: an own one would have to be read from.
        long begun = Stopwatch.GetTimestamp();
        await UntilAsync(() => Connections(socket) == 0, seconds: 60);

        Assert.InRange(Stopwatch.GetElapsedTime(begun).TotalSeconds, 5, 60);
        await AnswersAsync();
    }

    [SkippableFact]
    public async Task WebSocket_HandshakeOnly_HoldsUpNobody()
    {
        var sockets = new List<Socket>();
        try
        {
            for (int i = 0; i < 8; i++)
            {
                Socket socket = await ConnectAsync();
                sockets.Add(socket);
                await socket.SendAsync(Handshake($"/api/sandboxes/{fixture.Sandbox}/exec/{fixture.Session}"), Deadline.In(30));
                Assert.Equal(101, (await RawHttp.ReadAsync(socket, Deadline.In(30))).Status);
            }

            await AnswersAsync();
        }
        finally
        {
            sockets.ForEach(static socket => socket.Dispose());
        }

        await AnswersAsync();
        fixture.Log.AssertNone();
    }

    public static TheoryData<string, byte[]> Frames => new()
    {
        { "no mask", [0x82, 0x02, 0x00, 0x61] },
        { "reserved bits", [0xF2, 0x81, 1, 2, 3, 4, 0x00] },
        { "an opcode that is none", [0x8B, 0x80, 1, 2, 3, 4] },
        { "a control frame of 200 bytes", [0x89, 0xFE, 0x00, 0xC8, 1, 2, 3, 4] },
        { "a continuation of nothing", [0x80, 0x81, 1, 2, 3, 4, 0x00] },
        { "a length beyond all bounds", [0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4] },
        { "a length with the first bit set", [0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4] },
        { "half a frame", [0x82, 0x85, 1, 2, 3, 4, 0x00] },
        { "a close frame with a code that is none", [0x88, 0x82, 0, 0, 0, 0, 0x00, 0x01] },
    };

    [SkippableTheory]
    [MemberData(nameof(Frames))]
    public async Task WebSocket_FramesThatAreNone_EndItAndNothingElse(string what, byte[] frame)
    {
        using Socket socket = await ConnectAsync();
        await socket.SendAsync(Handshake($"/api/sandboxes/{fixture.Sandbox}/exec/{fixture.Session}"), Deadline.In(30));
        Assert.Equal(101, (await RawHttp.ReadAsync(socket, Deadline.In(30))).Status);
        await socket.SendAsync(frame, Deadline.In(30));
        if (what is "no mask" or "half a frame" or "a length beyond all bounds" or "a control frame of 200 bytes")
        {
            socket.Shutdown(SocketShutdown.Send); // nothing more comes
        }

        await RawHttp.ReadToEndAsync(socket, Deadline.In(60));
        await AnswersAsync();
        fixture.Log.AssertNone();
        RawAnswer sessions = await fixture.DoAsync("GET", $"/api/sandboxes/{fixture.Sandbox}/exec");
        Assert.Contains(sessions.Json.EnumerateArray(), session => session.GetProperty("sessionID").GetString() == fixture.Session && session.GetProperty("running").GetBoolean());
    }

    [SkippableFact]
    public async Task WebSocket_MessageBeyondTheLimit_IsClosedWithItsCode()
    {
        using ClientWebSocket socket = await OpenAsync(fixture.Session);
        byte[] huge = new byte[16 << 20]; // more than lies in buffers on the way
        await socket.SendAsync(huge.AsMemory(), WebSocketMessageType.Binary, endOfMessage: true, Deadline.In(60));

        byte[] buffer = new byte[256 << 10];
        ValueWebSocketReceiveResult received;
        do
        {
            received = await socket.ReceiveAsync(buffer.AsMemory(), Deadline.In(60));
        }
        while (received.MessageType != WebSocketMessageType.Close);

        Assert.Equal(WebSocketCloseStatus.MessageTooBig, socket.CloseStatus);
        await AnswersAsync();
    }

    [SkippableFact]
    public async Task WebSocket_UnknownStreams_AreIgnored()
    {
        string session = (await fixture.DoAsync("POST", $"/api/sandboxes/{fixture.Sandbox}/exec", """{"cmd":"cat"}""")).String("sessionID");
        using ClientWebSocket socket = await OpenAsync(session);
        foreach (byte[] message in (byte[][])[[], [0], [7, 65], [255], [1, 66], [0, (byte)'o', (byte)'k', (byte)'\n']])
        {
            await socket.SendAsync(message.AsMemory(), WebSocketMessageType.Binary, endOfMessage: true, Deadline.In(30));
        }

        byte[] buffer = new byte[64];
        var seen = new List<byte>();
        while (seen.Count < 3)
        {
            ValueWebSocketReceiveResult received = await socket.ReceiveAsync(buffer.AsMemory(), Deadline.In(30));
            if (buffer[0] == 1)
            {
                seen.AddRange(buffer.AsSpan(1, received.Count - 1));
            }
        }

        Assert.Equal("ok\n", Encoding.UTF8.GetString([.. seen]));
        await fixture.DoAsync("POST", $"/api/sandboxes/{fixture.Sandbox}/exec/{session}/kill", "{}");
    }

    private static byte[] Handshake(string target) => Encoding.ASCII.GetBytes(
        $"GET {target}?api_key={ServerFixture.Key} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");

    /// <summary>How many connections of the server lead to this socket: looked up in the kernel's table.</summary>
    private static int Connections(Socket socket)
    {
        int port = ((System.Net.IPEndPoint)socket.LocalEndPoint!).Port;
        string remote = $"0100007F:{port:X4}";
        return File.ReadLines("/proc/net/tcp").Skip(1)
            .Select(static line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Count(columns => columns[2] == remote && columns[3] == "01");
    }

    private static async Task UntilAsync(Func<bool> condition, int seconds)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(200));
        CancellationToken deadline = Deadline.In(seconds);
        while (!condition())
        {
            await timer.WaitForNextTickAsync(deadline);
        }
    }

    private async Task<ClientWebSocket> OpenAsync(string session)
    {
        _ = fixture.Server;
        var socket = new ClientWebSocket();
        await socket.ConnectAsync(new Uri($"ws://{fixture.Address.Authority}/api/sandboxes/{fixture.Sandbox}/exec/{session}?api_key={ServerFixture.Key}"), Deadline.In(30));
        return socket;
    }

    private async Task<Socket> ConnectAsync()
    {
        _ = fixture.Server;
        return await RawHttp.ConnectAsync(fixture.EndPoint);
    }

    private async Task<RawAnswer> SendAsync(string request)
    {
        _ = fixture.Server;
        return await RawHttp.SendAsync(fixture.EndPoint, Encoding.Latin1.GetBytes(request));
    }

    private async Task AnswersAsync()
    {
        RawAnswer answer = await fixture.DoAsync("POST", $"/api/sandboxes/{fixture.Sandbox}/exec/run", """{"cmd":"echo well"}""");
        Assert.Equal("well\n", answer.String("stdout"));
    }
}
