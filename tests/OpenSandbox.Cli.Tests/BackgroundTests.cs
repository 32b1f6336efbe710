using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using OpenSandbox.Cli.Commands;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Forwarding;
using OpenSandbox.Cli.Tests.Support;

namespace OpenSandbox.Cli.Tests;

/// <summary>What goes on in a kept sandbox by itself, with the built program: <c>exec --detach</c>, <c>ps</c>, <c>logs</c>, <c>stats</c>, <c>port-forward</c>.</summary>
[Collection(Sandboxes.Name)]
public sealed class BackgroundTests(Sandboxes sandboxes) : IAsyncLifetime
{
    private const int SigInt = 2;
    private const string Server = "import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n  def do_GET(s):\n    s.send_response(200); s.end_headers(); s.wfile.write(s.path.encode())\n  def do_POST(s):\n    b=s.rfile.read(int(s.headers['content-length'])); s.send_response(200); s.send_header('content-length', str(len(b))); s.end_headers(); s.wfile.write(b)\n  def log_message(s,*a): pass\nv=h.ThreadingHTTPServer(('127.0.0.1',8080),H); print('listening', flush=True); v.serve_forever()";
    private Kept? _kept;

    private Kept Kept => _kept ?? throw new InvalidOperationException("there is no sandbox");

    public async Task InitializeAsync()
    {
        if (sandboxes.Reason is null)
        {
            _kept = await Kept.StartAsync();
        }
    }

    public async Task DisposeAsync()
    {
        if (_kept is not null)
        {
            await _kept.DisposeAsync();
        }
    }

    [SkippableFact]
    public async Task Logs_OfAProcessInTheBackground_AreItsOutputsFromAnyOffset()
    {
        sandboxes.Require();
        string process = await StartAsync("sh", "-c", "echo one; echo two >&2; mkfifo /tmp/go; read x </tmp/go; echo three; exit 6");
        CliResult before = await CliProcess.RunAsync("exec", Kept.Id, "--", "sh", "-c", "until test -p /tmp/go; do :; done");
        Assert.Equal(0, before.ExitCode);
        CliResult some = await CliProcess.RunAsync("logs", Kept.Id, process);
        Assert.Equal((0, "one\n"), (some.ExitCode, some.Text));
        Assert.Contains("two\n", some.Error, StringComparison.Ordinal);

        // Following goes on where it stands, and ends with the process.
        using CliProcess follow = CliProcess.Start(null, "logs", "-f", Kept.Id, process);
        Assert.Equal("one", await follow.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        Assert.Equal(0, (await Kept.ExecAsync("sh", "-c", "echo >/tmp/go")).ExitCode);
        Assert.Equal("three", await follow.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        Assert.Equal(0, (await follow.WaitAsync()).ExitCode);
        JsonElement row = await RowAsync(process);
        Assert.Equal((false, 6, true), (row.GetProperty("running").GetBoolean(), row.GetProperty("exitCode").GetInt32(), row.GetProperty("detached").GetBoolean()));
        CliResult tail = await CliProcess.RunAsync("logs", "--since-offset", $"{row.GetProperty("outputEnd").GetInt64() - 6}", Kept.Id);
        Assert.Equal((0, "three\n", ""), (tail.ExitCode, tail.Text, tail.Error));
    }

    [SkippableFact]
    public async Task Logs_MoreThanIsKept_SayHowMuchIsMissing()
    {
        sandboxes.Require();
        string process = await StartAsync("sh", "-c", "head -c 3000000 /dev/zero; echo end");
        CliResult followed = await CliProcess.RunAsync("logs", "-f", "--since-offset", "2999999", Kept.Id, process);
        Assert.Equal(0, followed.ExitCode);
        CliResult all = await CliProcess.RunAsync("logs", "--since-offset", "0", Kept.Id, process);
        Assert.EndsWith("end\n", all.Text, StringComparison.Ordinal);
        Assert.InRange(all.Output.Length, 500_000, 1_500_000);
        Assert.Equal($"opensandbox: {3_000_004 - all.Output.Length} bytes of output are not kept any more\n", all.Error);
    }

    [SkippableFact]
    public async Task Logs_NoSuchProcessOrNone_SaySo()
    {
        sandboxes.Require();
        CliResult none = await CliProcess.RunAsync("logs", Kept.Id);
        Assert.Equal(125, none.ExitCode);
        Assert.Matches(@"\Aopensandbox: [^\n]*has no process in the background[^\n]*exec --detach\n\z", none.Error);
        CliResult unknown = await CliProcess.RunAsync("logs", Kept.Id, "ffffffff");
        Assert.Equal(125, unknown.ExitCode);
        Assert.Matches(@"\Aopensandbox: [^\n]*ffffffff[^\n]*\n\z", unknown.Error);
        CliResult wrong = await CliProcess.RunAsync("logs", Kept.Id, "../x");
        Assert.Equal((125, 1), (wrong.ExitCode, wrong.Error.Count(static c => c == '\n')));
    }

    [SkippableFact]
    public async Task ProcessesAndStats_OfARunningSandbox_AreWhatItDoes()
    {
        sandboxes.Require();
        string process = await StartAsync("sh", "-c", "while :; do :; done");
        CliResult table = await CliProcess.RunAsync("ps", Kept.Id);
        Assert.Matches($@"(?m)^PROCESS +PID +USER +STATE +AGE +CPU +MEMORY +COMMAND\n{process} +\d+ +sandbox +background +\d+s +\d+\.\d\ds +[^\n]* sh -c while :; do :; done$", table.Text);

        using CliProcess watch = CliProcess.Start(null, "stats", "--watch", "--json", Kept.Id);
        JsonElement first = Parse(await watch.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        JsonElement second = Parse(await watch.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        watch.Signal(SigInt);
        Assert.Equal(new CliEnd(130, ""), await watch.WaitAsync());
        Assert.False(first.TryGetProperty("cpuPercent", out _));
        Assert.True(second.GetProperty("cpuMilliseconds").GetDouble() > first.GetProperty("cpuMilliseconds").GetDouble());
        Assert.InRange(second.GetProperty("cpuPercent").GetDouble(), 0.1, 400);
        Assert.InRange(second.GetProperty("processes").GetInt64(), 1, 128);
        Assert.InRange(second.GetProperty("memoryBytes").GetInt64(), 1, 1L << 30);
        Assert.Matches(@"\A +CPU +CPU% +MEMORY [^\n]*\n +\d+\.\d\ds +- ", (await CliProcess.RunAsync("stats", Kept.Id)).Text);
    }

    [SkippableFact]
    public async Task PortForward_ToAServer_CarriesConnectionsBothWays()
    {
        sandboxes.Require();
        await StartServerAsync();
        using CliProcess forward = CliProcess.Start(null, "port-forward", Kept.Id, "0:8080", "0:9");
        IPEndPoint server = await ReadAddressAsync(forward, 8080);
        IPEndPoint nobody = await ReadAddressAsync(forward, 9);
        Assert.True(IPAddress.IsLoopback(server.Address));

        using var client = new HttpClient { Timeout = CliProcess.Deadline };
        byte[] body = new byte[3_000_000];
        Random.Shared.NextBytes(body);
        using HttpResponseMessage posted = await client.PostAsync(new Uri($"http://{server}/"), new ByteArrayContent(body));
        Assert.Equal(body, await posted.Content.ReadAsByteArrayAsync());
        string[] paths = await Task.WhenAll(Enumerable.Range(0, 8).Select(number => client.GetStringAsync(new Uri($"http://{server}/{number}"))));
        Assert.Equal(Enumerable.Range(0, 8).Select(static number => $"/{number}"), paths);

        // Where nobody listens the connection ends, and this side says why.
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(nobody).WaitAsync(CliProcess.Deadline);
        Assert.Equal(0, await socket.ReceiveAsync(new byte[1]).WaitAsync(CliProcess.Deadline));
        forward.Signal(SigInt);
        CliEnd end = await forward.WaitAsync();
        Assert.Equal(130, end.ExitCode);
        Assert.Matches(@"\Aopensandbox: [^\n]*port 9[^\n]*\n\z", end.Error);
    }

    [SkippableFact]
    public async Task PortForward_SandboxEnds_EndsTooAndSaysWhy()
    {
        sandboxes.Require();
        using CliProcess forward = CliProcess.Start(null, "port-forward", Kept.Id, "0:8080");
        await ReadAddressAsync(forward, 8080);
        Assert.Equal(0, (await CliProcess.RunAsync("rm", Kept.Id)).ExitCode);
        CliEnd end = await forward.WaitAsync();
        Assert.Equal((125, $"opensandbox: sandbox {Kept.Id} is gone\n"), (end.ExitCode, end.Error));
    }

    [SkippableFact]
    public async Task PortForward_PortIsTaken_SaysSo()
    {
        sandboxes.Require();
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        int port = ((IPEndPoint)taken.LocalEndpoint).Port;
        CliResult result = await CliProcess.RunAsync("port-forward", Kept.Id, $"{port}:8080");
        Assert.Equal((125, ""), (result.ExitCode, result.Text));
        Assert.Matches($@"\Aopensandbox: port {port} of 127\.0\.0\.1 cannot be listened on: [^\n]*\n\z", result.Error);
    }

    [Theory]
    [InlineData("8080", 8080, 8080)]
    [InlineData("0:80", 0, 80)]
    [InlineData("1:65535", 1, 65_535)]
    public void Ports_Valid_AreRead(string text, int local, int remote) => Assert.Equal(new PortPair(local, remote), PortPair.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("80:0")]
    [InlineData("65536")]
    [InlineData("1:2:3")]
    [InlineData("-1")]
    [InlineData(" 1")]
    public void Ports_Invalid_AreUsageErrors(string text) => Assert.Throws<UsageException>(() => PortPair.Parse(text));

    [Theory]
    [InlineData(0, "0s")]
    [InlineData(59, "59s")]
    [InlineData(61, "1m01s")]
    [InlineData(3_660, "1h01m")]
    [InlineData(90_000, "1d01h")]
    [InlineData(-5, "0s")]
    public void Age_IsReadable(int seconds, string expected) => Assert.Equal(expected, ListCommand.Age(TimeSpan.FromSeconds(seconds)));

    [Fact]
    public void CpuPercent_IsOfTheTimeBetween()
    {
        var first = new UsageRow { Id = "", At = DateTimeOffset.UnixEpoch, CpuMilliseconds = 100 };
        Assert.Null(StatsCommand.PercentSince(null, first));
        Assert.Null(StatsCommand.PercentSince(first, first));
        Assert.Equal(150, StatsCommand.PercentSince(first, first with { At = DateTimeOffset.UnixEpoch.AddSeconds(2), CpuMilliseconds = 3_100 }));
    }

    private static JsonElement Parse(string? line)
    {
        using JsonDocument json = JsonDocument.Parse(line!);
        return json.RootElement.Clone();
    }

    private static async Task<IPEndPoint> ReadAddressAsync(CliProcess forward, int remote)
    {
        string? line = await forward.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline);
        Assert.EndsWith($":{remote}", line, StringComparison.Ordinal);
        return IPEndPoint.Parse(line!.Split(' ')[0]);
    }

    private async Task StartServerAsync()
    {
        string process = await StartAsync("python3", "-c", Server);
        using CliProcess follow = CliProcess.Start(null, "logs", "-f", Kept.Id, process);
        Assert.Equal("listening", await follow.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        follow.Signal(SigInt);
        Assert.Equal(130, (await follow.WaitAsync()).ExitCode);
    }

    private async Task<string> StartAsync(params string[] command)
    {
        CliResult started = await CliProcess.RunAsync(["exec", "--detach", Kept.Id, "--", .. command]);
        Assert.Equal((0, ""), (started.ExitCode, started.Error));
        Assert.Matches(@"\A[0-9a-f]{8}\n\z", started.Text);
        return started.Text.TrimEnd();
    }

    private async Task<JsonElement> RowAsync(string process)
    {
        CliResult list = await CliProcess.RunAsync("ps", "--json", Kept.Id);
        Assert.Equal((0, ""), (list.ExitCode, list.Error));
        return Parse(Encoding.UTF8.GetString(list.Output)).EnumerateArray().Single(row => row.GetProperty("id").GetString() == process);
    }
}
