using System.Net;
using System.Text;
using Microsoft.Extensions.Logging;

namespace OpenSandbox.Host.Tests;

/// <summary>
/// One server for all tests that need a real one, with two sandboxes. Where a prerequisite is missing the tests skip and say which; where
/// starting fails for any other reason, every test fails with that reason.
/// </summary>
public sealed class ServerFixture : IAsyncLifetime
{
    public const string Collection = "server";
    internal const string Key = "osb_test_0123456789";
    internal const string OtherKey = "osb_test_other";

    /// <summary>The name of an image.</summary>
    internal const string Snapshot = "named";

    private ServerDirectory? _directory;
    private OpenSandboxServer? _server;
    private Exception? _failure;

    /// <summary>The server's errors.</summary>
    internal ErrorLog Log { get; } = new();

    internal OpenSandboxServer Server
    {
        get
        {
            Skip.If(ServerDirectory.MissingPrerequisite is not null, ServerDirectory.MissingPrerequisite);
            return _server ?? throw new InvalidOperationException($"the server did not start: {_failure?.Message}", _failure);
        }
    }

    internal Uri Address => new(Server.Address);

    internal IPEndPoint EndPoint => IPEndPoint.Parse(Address.Authority);

    internal string StatePath => _directory!.StatePath;

    /// <summary>A running sandbox.</summary>
    internal string Sandbox { get; private set; } = "";

    /// <summary>Another one, whose previews need a token.</summary>
    internal string Other { get; private set; } = "";

    /// <summary>One that has been deleted.</summary>
    internal string Deleted { get; private set; } = "";

    /// <summary>A session of <see cref="Sandbox"/>.</summary>
    internal string Session { get; private set; } = "";

    /// <summary>A terminal of <see cref="Sandbox"/>.</summary>
    internal string Terminal { get; private set; } = "";

    /// <summary>A checkpoint of <see cref="Sandbox"/>.</summary>
    internal string Checkpoint { get; private set; } = "";

    /// <summary>A patch of <see cref="Checkpoint"/>.</summary>
    internal string Patch { get; private set; } = "";

    /// <summary>A command of <see cref="Sandbox"/> that goes on.</summary>
    internal string Execution { get; private set; } = "";

    internal Task<RawAnswer> SendAsync(string method, string target, string? body = null, params string[] headers) =>
        RawHttp.SendAsync(EndPoint, RawHttp.Request(method, target, body is null ? null : Encoding.UTF8.GetBytes(body), [$"X-API-Key: {Key}", .. headers]));

    /// <summary>The same, which must succeed.</summary>
    internal async Task<RawAnswer> DoAsync(string method, string target, string? body = null)
    {
        RawAnswer answer = await SendAsync(method, target, body);
        Assert.True(answer.Status is >= 200 and < 300, $"{method} {target}: {answer.Status} {answer.Text}");
        return answer;
    }

    public async Task InitializeAsync()
    {
        if (ServerDirectory.MissingPrerequisite is not null)
        {
            return;
        }

        try
        {
            _directory = ServerDirectory.Make();
            _server = await OpenSandboxServer.StartAsync(
                new ServerOptions
                {
                    Listen = ListenAddress.Parse("127.0.0.1:0"),
                    ApiKeys = [Key, OtherKey],
                    Sandboxes = _directory.Options,
                    MaxBodyBytes = 1 << 20,
                    MaxFileBytes = 8 << 20,
                },
                logging => logging.AddProvider(Log),
                Deadline.In(240));
            Sandbox = (await DoAsync("POST", "/api/sandboxes", """{"timeout":0,"memoryMB":512}""")).String("sandboxID");
            Other = (await DoAsync("POST", "/api/sandboxes", """{"timeout":0,"memoryMB":512}""")).String("sandboxID");
            Deleted = (await DoAsync("POST", "/api/sandboxes", """{"timeout":0,"memoryMB":512}""")).String("sandboxID");
            await DoAsync("DELETE", $"/api/sandboxes/{Deleted}");
            Session = (await DoAsync("POST", $"/api/sandboxes/{Sandbox}/exec", """{"cmd":"cat"}""")).String("sessionID");
            Terminal = (await DoAsync("POST", $"/api/sandboxes/{Sandbox}/pty", "{}")).String("sessionID");
            Execution = (await DoAsync("POST", $"/api/sandboxes/{Sandbox}/exec/run-async", """{"cmd":"sleep","args":["3600"],"timeout":0}""")).String("execId");
            Checkpoint = (await DoAsync("POST", $"/api/sandboxes/{Sandbox}/checkpoints", """{"name":"taken","kind":"disk_only"}""")).String("id");
            Patch = (await DoAsync("POST", $"/api/sandboxes/checkpoints/{Checkpoint}/patches", """{"script":"true"}""")).Json.GetProperty("patch").GetProperty("id").GetString()!;
            await DoAsync("POST", $"/api/sandboxes/{Other}/preview/rotate");
            await DoAsync("POST", "/api/snapshots", $$$"""{"name":"{{{Snapshot}}}","image":{"steps":[{"type":"workdir","args":{"path":"/srv"}}]}}""");
        }
        catch (Exception failure)
        {
            _failure = failure;
        }
    }

    public async Task DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(90));
        }

        if (_directory is not null)
        {
            await _directory.DisposeAsync();
        }
    }
}

[CollectionDefinition(ServerFixture.Collection, DisableParallelization = true)]
public sealed class ServerCollection : ICollectionFixture<ServerFixture>;
