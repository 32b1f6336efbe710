using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Integration.Tests;

/// <summary>Names, and the policy by names, as programs in the guest meet them; the DNS server is the test's own.</summary>
[Collection(HostFixture.Collection)]
public sealed class NetworkNamesTests(HostFixture fixture) : IAsyncLifetime
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(3);
    private readonly string _root = Directory.CreateTempSubdirectory("site").FullName;
    private DnsTestServer? _dns;
    private SandboxHost? _host;
    private StaticSite? _site;
    private volatile string _rebound = "93.184.216.34";

    private SandboxHost Host => _host ?? throw new InvalidOperationException("skipped");

    private int Port => _site!.Port;

    public async Task InitializeAsync()
    {
        if (HostFixture.MissingPrerequisite is not null)
        {
            return;
        }

        _ = fixture.HostWithImage;
        await File.WriteAllTextAsync(Path.Combine(_root, "hello"), "hello from outside\n");
        _site = StaticSite.Start(_root);
        _dns = DnsTestServer.Answering(query =>
        {
            string[] addresses = query.Name.TrimEnd('.') switch
            {
                "rebinding.test" => [_rebound],
                "six.test" => ["::1"],
                "private.test" => ["10.1.2.3"],
                _ => ["127.0.0.1"],
            };
            bool six = addresses[0].Contains(':', StringComparison.Ordinal);
            return Wire.Reply(
                query.Id,
                query.Name,
                query.Type,
                0,
                (query.Type == 1 && !six) || (query.Type == 28 && six) ? [.. addresses.Select(address => Wire.Address(query.Name, address))] : []);
        });
        _host = await SandboxHost.StartAsync(HostFixture.Options with { DnsServers = [_dns.Address] });
    }

    public async Task DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.DisposeAsync();
            await _dns!.DisposeAsync();
            await _site!.DisposeAsync();
        }

        Directory.Delete(_root, recursive: true);
    }

    [SkippableTheory]
    [InlineData("files.test", "files.test", true)]
    [InlineData("files.test", "FILES.Test.", true)]
    [InlineData("*.files.test", "a.b.files.test", true)]
    [InlineData("*.files.test", "files.test", false)]
    [InlineData("files.test", "other.test", false)]
    [InlineData("files.test:1", "files.test", false)]
    public async Task Curl_ByName_GoesWhereThePolicyAllows(string rule, string name, bool works)
    {
        await using Sandbox sandbox = await StartAsync(EgressPolicy.AllowOnly(rule, $"127.0.0.1:{(works ? Port : 1)}"));
        var clock = Stopwatch.StartNew();

        ExecResult result = await CurlAsync(sandbox, $"http://{name}:{Port}/hello");

        Assert.True(works == (result.StandardOutput == "hello from outside\n"), $"exit code {result.ExitCode}: {result.StandardError}");
        Assert.Equal(works, result.ExitCode == 0);
        if (!works)
        {
            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20), $"a refusal took {clock.Elapsed}");
            Assert.NotEmpty(sandbox.Network.RecentRefusals);
        }
    }

    [SkippableFact]
    public async Task Curl_DenyRuleAheadOfDefaultAllow_Refuses()
    {
        await using Sandbox sandbox = await StartAsync(EgressPolicy.Parse(EgressAction.Allow, "deny *.test", $"allow 127.0.0.1:{Port}"));

        ExecResult result = await CurlAsync(sandbox, $"http://files.test:{Port}/hello");

        Assert.Equal(6, result.ExitCode); // curl: could not resolve host
        Assert.All(sandbox.Network.RecentRefusals, static refusal => Assert.Equal(EgressRefusalKind.Dns, refusal.Kind));
        Assert.Empty(_dns!.Queries); // nothing of a denied name leaves the host
    }

    [SkippableTheory]
    [InlineData("private.test")]
    [InlineData("files.test")]
    public async Task Curl_NameThatLeadsToGuardedAddress_IsRefused(string name)
    {
        await using Sandbox sandbox = await StartAsync(EgressPolicy.AllowOnly(name));

        ExecResult result = await CurlAsync(sandbox, $"http://{name}:{Port}/hello");

        Assert.Equal(6, result.ExitCode);
        Assert.Contains(sandbox.Network.RecentRefusals, static refusal => refusal.Reason == EgressRefusalReason.GuardedAnswer);
    }

    [SkippableFact]
    public async Task Curl_NameThatIsReboundToLoopback_DoesNotReachIt()
    {
        await using Sandbox sandbox = await StartAsync(EgressPolicy.AllowOnly("rebinding.test"));
        ExecResult first = await sandbox.ExecAsync(["getent", "ahostsv4", "rebinding.test"]).WaitAsync(s_limit);
        Assert.StartsWith("93.184.216.34", first.StandardOutput, StringComparison.Ordinal);

        _rebound = "127.0.0.1";
        ExecResult result = await CurlAsync(sandbox, $"http://rebinding.test:{Port}/hello");
        ExecResult direct = await CurlAsync(sandbox, $"http://192.0.0.1:{Port}/hello");

        Assert.NotEqual(0, result.ExitCode);
        Assert.NotEqual(0, direct.ExitCode);
        Assert.Equal("", result.StandardOutput + direct.StandardOutput);
    }

    [SkippableFact]
    public async Task Curl_OverIPv6_ReachesWhatIsAllowed()
    {
        Skip.IfNot(Socket.OSSupportsIPv6, "the host has no IPv6");
        await using var server = new LoopbackServer6();
        await using Sandbox sandbox = await StartAsync(EgressPolicy.AllowOnly("six.test", $"[::1]:{server.Port}"));

        ExecResult byName = await sandbox.ExecAsync(["curl", "-sS", "--max-time", "60", $"telnet://six.test:{server.Port}"]).WaitAsync(s_limit);
        ExecResult refused = await CurlAsync(sandbox, "http://[2606:2800:220:1::1]/");

        Assert.Equal("six\n", byName.StandardOutput);
        Assert.NotEqual(0, refused.ExitCode);
    }

    [SkippableFact]
    public async Task Dns_OverTcp_IsAnswered()
    {
        await using Sandbox sandbox = await StartAsync(EgressPolicy.AllowOnly("files.test", $"127.0.0.1:{Port}"));

        ExecResult result = await sandbox.ExecAsync(["python3", "-c", """
            import socket, struct
            q = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"\x05files\x04test\0" + struct.pack(">HH", 1, 1)
            s = socket.create_connection(("10.0.0.1", 53), 30)
            for half in (q, q):
                s.sendall(struct.pack(">H", len(half)) + half)
            for _ in range(2):
                n = struct.unpack(">H", s.recv(2, socket.MSG_WAITALL))[0]
                a = s.recv(n, socket.MSG_WAITALL)
                print(struct.unpack(">H", a[:2])[0], a[3] & 15, socket.inet_ntoa(a[-4:]))
            """]).WaitAsync(s_limit);

        Assert.Equal("7 0 192.0.0.1\n7 0 192.0.0.1\n", result.StandardOutput);
    }

    [SkippableFact]
    public async Task Policy_ChangedDuringConnection_ResetsIt()
    {
        await using var server = new LoopbackServer(LoopbackServer.EchoAsync);
        await using Sandbox sandbox = await StartAsync(EgressPolicy.AllowOnly($"127.0.0.1:{server.Port}"));
        Task<ExecResult> run = sandbox.ExecAsync(["python3", "-c", $$"""
            import socket
            s = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
            s.settimeout(60)
            s.sendall(b"x"); assert s.recv(1) == b"x"
            open("/tmp/connected", "w").close()
            try:
                print("got", s.recv(1))
            except ConnectionResetError:
                print("reset")
            try:
                t = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
                t.settimeout(30); t.sendall(b"x"); print("got", t.recv(1))
            except ConnectionResetError:
                print("reset")
            """]);
        while (server.Accepted == 0 || sandbox.Network.Statistics.BytesReceived == 0)
        {
            Assert.False(run.IsCompleted);
            await sandbox.PingAsync();
        }

        sandbox.Network.SetPolicy(EgressPolicy.DenyAll);

        ExecResult result = await run.WaitAsync(s_limit);
        Assert.Equal("reset\nreset\n", result.StandardOutput);
        Assert.Equal(1, server.Accepted);
        Assert.Equal(1, sandbox.Network.Statistics.ConnectionsClosedByPolicy);
    }

    [SkippableFact]
    public async Task HostName_ForTheHostsLoopback_IsKnown()
    {
        await using Sandbox sandbox = await StartAsync(EgressPolicy.AllowOnly($"127.0.0.1:{Port}"));

        ExecResult result = await CurlAsync(sandbox, $"http://host.opensandbox.internal:{Port}/hello");

        Assert.Equal("hello from outside\n", result.StandardOutput);
    }

    private Task<Sandbox> StartAsync(EgressPolicy policy)
    {
        Skip.If(HostFixture.MissingPrerequisite is not null, HostFixture.MissingPrerequisite);
        return Host.CreateAsync(new SandboxSpec { Egress = policy });
    }

    private static Task<ExecResult> CurlAsync(Sandbox sandbox, string url) =>
        sandbox.ExecAsync(["curl", "-sS", "--max-time", "60", url]).WaitAsync(s_limit);

    /// <summary>Says one line to whoever connects to it over IPv6.</summary>
    private sealed class LoopbackServer6 : IAsyncDisposable
    {
        private readonly Socket _listener = new(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp);
        private readonly Task _served;

        internal LoopbackServer6()
        {
            _listener.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
            _listener.Listen();
            _served = ServeAsync();
        }

        internal int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

        public async ValueTask DisposeAsync()
        {
            _listener.Dispose();
            try
            {
                await _served.WaitAsync(s_limit);
            }
            catch (Exception stopped) when (stopped is SocketException or ObjectDisposedException)
            {
                // Nobody came, which the test's own assertion says.
            }
        }

        private async Task ServeAsync()
        {
            using Socket socket = await _listener.AcceptAsync();
            await socket.SendAsync("six\n"u8.ToArray());
            socket.Shutdown(SocketShutdown.Send);
            await socket.ReceiveAsync(new byte[1]);
        }
    }
}
