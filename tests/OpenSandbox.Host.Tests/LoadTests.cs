using System.Net;
using System.Net.Sockets;
using System.Text;

namespace OpenSandbox.Host.Tests;

/// <summary>What the server does when it is asked for too much, and when it is told to stop. Each test has a server of its own.</summary>
[Collection(ServerFixture.Collection)]
public sealed class LoadTests
{
    [SkippableFact]
    public async Task Requests_FasterThanTheRate_AreTurnedAwayUntilLater()
    {
        await using Own own = await Own.StartAsync(static options => options with { RequestsPerSecond = 2 });
        long begun = System.Diagnostics.Stopwatch.GetTimestamp();
        RawAnswer[] answers = await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => own.SendAsync("GET", "/api/sandboxes")));

        RawAnswer[] refused = [.. answers.Where(static answer => answer.Status != 200)];

        // Four at once, and two more for each second that it took.
        double seconds = System.Diagnostics.Stopwatch.GetElapsedTime(begun).TotalSeconds;
        Assert.InRange(refused.Length, Math.Max(1, 95 - (int)Math.Ceiling(2 * seconds)), 96);
        Assert.All(refused, static answer =>
        {
            Assert.Equal(429, answer.Status);
            Assert.Equal("rate_limited", answer.String("code"));
            Assert.Equal("1", answer.Headers["Retry-After"]);
            Assert.True(answer.Json.GetProperty("retryable").GetBoolean());
        });
        Assert.Equal(200, (await own.SendAsync("GET", "/healthz")).Status);
        Assert.Equal(200, (await own.SendAsync("GET", "/api/sandboxes", key: Own.OtherKey)).Status); // nobody pays for another one's requests
    }

    [SkippableFact]
    public async Task Requests_MoreAtOnceThanAllowed_AreTurnedAwayUntilLater()
    {
        await using Own own = await Own.StartAsync(static options => options with { MaxConcurrentRequests = 4 });
        string sandbox = await own.CreateAsync();
        Task<RawAnswer>[] all = [.. Enumerable.Range(0, 8).Select(_ => own.SendAsync("POST", $"/api/sandboxes/{sandbox}/exec/run", """{"cmd":"sleep 15"}"""))];
        await Task.WhenAny(all); // refused, as four are under way
        Assert.Equal(200, (await own.SendAsync("GET", "/health")).Status);

        RawAnswer[] answers = await Task.WhenAll(all);
        Assert.Equal(4, answers.Count(static answer => answer.Status == 200));
        Assert.All(answers.Where(static answer => answer.Status != 200), static refused =>
        {
            Assert.Equal(503, refused.Status);
            Assert.Equal("busy", refused.String("code"));
            Assert.Equal("1", refused.Headers["Retry-After"]);
        });
        Assert.Equal(200, (await own.SendAsync("GET", "/api/sandboxes")).Status);
    }

    [SkippableFact]
    public async Task Connections_MoreThanAllowed_AreClosed()
    {
        await using Own own = await Own.StartAsync(static options => options with { MaxConnections = 5 });
        var sockets = new List<Socket>();
        try
        {
            for (int i = 0; i < 5; i++)
            {
                Socket socket = await RawHttp.ConnectAsync(own.EndPoint);
                sockets.Add(socket);
                await socket.SendAsync("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"u8.ToArray(), Deadline.In(30));
                Assert.Equal(200, (await RawHttp.ReadAsync(socket, Deadline.In(30))).Status);
            }

            using Socket sixth = await RawHttp.ConnectAsync(own.EndPoint);
            Assert.Empty(await RawHttp.ReadToEndAsync(sixth, Deadline.In(30)));
        }
        finally
        {
            sockets.ForEach(static socket => socket.Dispose());
        }

        RawAnswer? answer = null;
        CancellationToken deadline = Deadline.In(30);
        while (answer is null)
        {
            deadline.ThrowIfCancellationRequested();
            using Socket next = await RawHttp.ConnectAsync(own.EndPoint);
            try
            {
                await next.SendAsync("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"u8.ToArray(), deadline);
                answer = await RawHttp.ReadAsync(next, deadline);
            }
            catch (Exception closed) when (closed is SocketException or Xunit.Sdk.XunitException)
            {
                // The server has not noticed yet that the others have gone.
            }
        }

        Assert.Equal(200, answer.Status);
    }

    [SkippableFact]
    public async Task Stop_RequestsUnderWay_AreFinished()
    {
        await using Own own = await Own.StartAsync(static options => options with { ShutdownTimeout = TimeSpan.FromSeconds(30) });
        string sandbox = await own.CreateAsync();
        Task<RawAnswer> running = own.SendAsync("POST", $"/api/sandboxes/{sandbox}/exec/run", """{"cmd":"touch /tmp/begun; sleep 2; echo done"}""");
        await own.UntilFileAsync(sandbox, "/tmp/begun");

        IPEndPoint endPoint = own.EndPoint;
        await own.Server.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60));

        RawAnswer answer = await running;
        Assert.Equal("done\n", answer.String("stdout"));
        await Assert.ThrowsAnyAsync<SocketException>(() => RawHttp.ConnectAsync(endPoint));
    }

    [SkippableFact]
    public async Task Stop_RequestsThatTakeTooLong_AreCutAndSandboxesLiveOn()
    {
        await using Own own = await Own.StartAsync(static options => options with { ShutdownTimeout = TimeSpan.FromSeconds(1) });
        string sandbox = await own.CreateAsync();
        await own.SendAsync("PUT", $"/api/sandboxes/{sandbox}/tags", """{"kept":"yes"}""");
        Task<RawAnswer> running = own.SendAsync("POST", $"/api/sandboxes/{sandbox}/exec/run", """{"cmd":"touch /tmp/begun; sleep 600","timeout":0}""");
        await own.UntilFileAsync(sandbox, "/tmp/begun");
        long begun = System.Diagnostics.Stopwatch.GetTimestamp();

        await own.Server.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60));

        Assert.InRange(System.Diagnostics.Stopwatch.GetElapsedTime(begun).TotalSeconds, 0.5, 20);
        await Assert.ThrowsAnyAsync<Exception>(() => running); // cut: no answer that could be taken for one
        await own.RestartAsync();
        Assert.Equal("yes", (await own.SendAsync("GET", $"/api/sandboxes/{sandbox}/tags")).Json.GetProperty("tags").GetProperty("kept").GetString());
        Assert.Equal("here\n", (await own.SendAsync("POST", $"/api/sandboxes/{sandbox}/exec/run", """{"cmd":"test -e /tmp/begun && echo here"}""")).String("stdout"));
    }

    /// <summary>A server of one test's own.</summary>
    private sealed class Own : IAsyncDisposable
    {
        internal const string OtherKey = ServerFixture.OtherKey;

        private readonly ServerDirectory _directory = new();
        private readonly Func<ServerOptions, ServerOptions> _change;

        private Own(Func<ServerOptions, ServerOptions> change) => _change = change;

        internal OpenSandboxServer Server { get; private set; } = null!;

        internal IPEndPoint EndPoint => IPEndPoint.Parse(new Uri(Server.Address).Authority);

        internal static async Task<Own> StartAsync(Func<ServerOptions, ServerOptions> change)
        {
            Skip.If(ServerDirectory.MissingPrerequisite is not null, ServerDirectory.MissingPrerequisite);
            var own = new Own(change);
            await own.RestartAsync();
            return own;
        }

        internal async Task RestartAsync() => Server = await OpenSandboxServer.StartAsync(
            _change(new ServerOptions { Listen = ListenAddress.Parse("127.0.0.1:0"), ApiKeys = [ServerFixture.Key, OtherKey], Sandboxes = _directory.Options }),
            cancellationToken: Deadline.In(240));

        internal async Task<RawAnswer> SendAsync(string method, string target, string? body = null, string key = ServerFixture.Key) =>
            await RawHttp.SendAsync(EndPoint, RawHttp.Request(method, target, body is null ? null : Encoding.UTF8.GetBytes(body), $"X-API-Key: {key}"));

        internal async Task<string> CreateAsync() => (await SendAsync("POST", "/api/sandboxes", """{"timeout":0,"memoryMB":512}""")).String("sandboxID");

        internal async Task UntilFileAsync(string sandbox, string path)
        {
            CancellationToken deadline = Deadline.In(30);
            while ((await SendAsync("GET", $"/api/sandboxes/{sandbox}/files?path={path}")).Status != 200)
            {
                deadline.ThrowIfCancellationRequested();
            }
        }

        public async ValueTask DisposeAsync()
        {
            await Server.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(90));
            await _directory.DisposeAsync();
        }
    }
}
