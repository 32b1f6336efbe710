using System.Text.Json;

namespace OpenSandbox.Integration.Tests;

[Collection(HostFixture.Collection)]
public sealed class MetadataTests(HostFixture fixture) : SandboxTest(fixture)
{
    private const string Service = "http://169.254.169.254";

    // Sends bytes as they are and prints what comes back.
    private const string Raw = "import socket,sys\ns=socket.create_connection(('169.254.169.254',80),20)\ns.sendall(sys.stdin.buffer.read())\n"
        + "b=b''\nwhile True:\n  p=s.recv(65536)\n  if not p: break\n  b+=p\nsys.stdout.buffer.write(b)";

    protected override SandboxSpec Spec => new()
    {
        Metadata = new Dictionary<string, string>(StringComparer.Ordinal) { ["team"] = "\u00e4 \"b\"", ["region"] = "moon" },
    };

    [SkippableFact]
    public async Task Get_EveryPath_TellsAboutThisSandbox()
    {
        JsonElement index = await GetAsync("/");
        JsonElement status = await GetAsync("/v1/status?x=1");
        JsonElement metadata = await GetAsync("/v1/metadata");
        JsonElement limits = await GetAsync("/v1/limits");

        Assert.Contains("/v1/limits", index.GetProperty("endpoints").EnumerateArray().Select(static path => path.GetString()));
        Assert.Equal(Sandbox.Id, status.GetProperty("sandboxId").GetString());
        Assert.InRange(status.GetProperty("uptime").GetDouble(), 0, 300);
        Assert.Equal(
            new Dictionary<string, string?> { ["region"] = "moon", ["template"] = "default", ["team"] = "\u00e4 \"b\"" },
            metadata.EnumerateObject().ToDictionary(static entry => entry.Name, static entry => entry.Value.GetString()));
        Assert.Equal(Sandbox.Limits.MemoryMaxBytes, limits.GetProperty("memLimit").GetInt64());
        Assert.InRange(limits.GetProperty("memUsage").GetInt64(), 1, Sandbox.Limits.MemoryMaxBytes);
        Assert.InRange(limits.GetProperty("pids").GetInt32(), 1, 128);
        Assert.InRange(limits.GetProperty("cpuPercent").GetDouble(), 0, 400);
        Assert.True(limits.TryGetProperty("netInput", out _) && limits.TryGetProperty("netOutput", out _));
    }

    [SkippableFact]
    public async Task Limits_AfterAResize_AreTheNewOnes()
    {
        SandboxLimits grown = await Sandbox.ResizeAsync(1_024, cancellationToken: ExecTests.Deadline());

        Assert.Equal(grown.MemoryMaxBytes, (await GetAsync("/v1/limits")).GetProperty("memLimit").GetInt64());
    }

    [SkippableTheory]
    [InlineData("GET /none HTTP/1.1\r\nHost: x\r\n\r\n", "404")]
    [InlineData("DELETE /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "405")]
    [InlineData("POST /v1/status HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405")]
    [InlineData("GET /v1/scale HTTP/1.1\r\n\r\n", "405")]
    [InlineData("rubbish\r\n\r\n", "400")]
    [InlineData("GET / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", "400")]
    [InlineData("POST /v1/scale HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400")]
    [InlineData("POST /v1/scale HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "400")]
    [InlineData("POST /v1/scale HTTP/1.1\r\nContent-Length: 16\r\n\r\n{\"memoryMB\":1.5}", "400")]
    [InlineData("POST /v1/scale HTTP/1.1\r\nContent-Length: 17\r\n\r\n{\"memoryMB\":1024}", "503")]
    [InlineData("HEAD / HTTP/1.0\r\n\r\n", "200")]
    [InlineData("GET http://169.254.169.254/v1/status HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n", "200")]
    public async Task Request_OfAnyKind_GetsItsStatus(string request, string status)
    {
        string reply = await SendAsync(request);

        Assert.StartsWith($"HTTP/1.1 {status} ", reply, StringComparison.Ordinal);
        Assert.Equal(status == "200", reply.Contains("application/json", StringComparison.Ordinal));
        Assert.True(!request.StartsWith("HEAD", StringComparison.Ordinal) || reply.EndsWith("\r\n\r\n", StringComparison.Ordinal));
    }

    [SkippableFact]
    public async Task Connections_HostileOnes_AreBoundedAndEnded()
    {
        // More silent connections than there may be, and one that sends without an end; then a request like any other.
        const string hostile = "import socket\nc=[socket.create_connection(('169.254.169.254',80)) for i in range(60)]\ns=c[0]\ns.settimeout(30)\nanswer=b'nothing'\n"
            + "try:\n  s.sendall(b'GET / HTTP/1.1\\r\\nX: '+b'x'*100000)\n  answer=s.recv(12)\nexcept ConnectionError: answer=b''\n"
            + "print(answer in (b'',b'HTTP/1.1 400'))"; // told so, or simply cut off
        Assert.Equal("True\n", (await Sandbox.ExecAsync(["python3", "-c", hostile], cancellationToken: ExecTests.Deadline(60))).StandardOutput);

        SandboxProcess holder = await Sandbox.StartAsync(
            ["python3", "-c", "import socket,sys\nc=[socket.create_connection(('169.254.169.254',80)) for i in range(60)]\nprint('open',flush=True)\nsys.stdin.read()"],
            cancellationToken: ExecTests.Deadline());
        await using (holder)
        {
            Assert.True((await holder.ReadAsync(new byte[100], ExecTests.Deadline())).Count > 0);
            Assert.Equal(Sandbox.Id, (await GetAsync("/v1/status")).GetProperty("sandboxId").GetString()); // after the silent ones' time
        }
    }

    private async Task<JsonElement> GetAsync(string path) =>
        JsonDocument.Parse(await ShellAsync($"curl -sS --fail --max-time 60 '{Service}{path}'")).RootElement;

    private async Task<string> SendAsync(string request) => (await Sandbox.ExecAsync(
        ["python3", "-c", Raw],
        new ExecOptions { StandardInput = System.Text.Encoding.ASCII.GetBytes(request) },
        ExecTests.Deadline(60))).EnsureSuccess().StandardOutput;
}
