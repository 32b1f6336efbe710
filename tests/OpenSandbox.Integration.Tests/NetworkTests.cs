using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace OpenSandbox.Integration.Tests;

/// <summary>The network of a guest without a network card, against servers on the host's loopback: 192.0.0.1 for the guest.</summary>
[Collection(HostFixture.Collection)]
public sealed class NetworkTests(HostFixture fixture)
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(3);

    private static SandboxSpec Allowing(params IEnumerable<string> targets) => new()
    {
        Egress = new EgressPolicy { DefaultAction = EgressAction.Deny, Rules = [.. targets.Select(EgressRule.Allow)] },
        EgressLimits = new EgressLimits { ConnectionsPerSecond = 2_000 },
        PidsMax = 1_024,
    };

    [SkippableFact]
    public async Task Connect_DirectlyToAddressThatNoRuleAllows_FailsFastAndIsReported()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(Allowing());
        var clock = Stopwatch.StartNew();

        ExecResult refused = await sandbox.ExecAsync(["curl", "-sS", "--max-time", "60", "http://93.184.216.34:8080/"]).WaitAsync(s_limit);

        Assert.NotEqual(0, refused.ExitCode);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20), $"took {clock.Elapsed}: {refused.StandardError}");
        EgressRefusal refusal = Assert.Single(sandbox.Network.RecentRefusals);
        Assert.Equal(("93.184.216.34", 8080, EgressRefusalKind.Connect), (refusal.Target, refusal.Port, refusal.Kind));
        Assert.Equal(1, sandbox.Network.Statistics.ConnectionsRefused);
    }

    [SkippableFact]
    public async Task Connect_ToHostLoopbackByDefault_IsRefused()
    {
        await using var server = new LoopbackServer(LoopbackServer.EchoAsync);
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec());

        ExecResult refused = await sandbox.ExecAsync(["curl", "-sS", "--max-time", "60", $"http://192.0.0.1:{server.Port}/"]).WaitAsync(s_limit);

        Assert.NotEqual(0, refused.ExitCode);
        Assert.Equal(0, server.Accepted);
        Assert.Equal(EgressRefusalReason.GuardedAddress, Assert.Single(sandbox.Network.RecentRefusals).Reason);
    }

    [SkippableFact]
    public async Task Connections_ThousandShortOnes_LoseNothing()
    {
        await using var server = new LoopbackServer(LoopbackServer.EchoAsync);
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(Allowing($"127.0.0.1:{server.Port}"));

        ExecResult result = await RunPythonAsync(sandbox, $$"""
            import socket, os
            ok = 0
            for i in range(1000):
                data = os.urandom(1 + i % 3000)
                s = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                got = b""
                while True:
                    part = s.recv(65536)
                    if not part: break
                    got += part
                s.close()
                ok += got == data
            print(ok)
            """);

        Assert.Equal("1000\n", result.StandardOutput);
        Assert.Equal(1000, server.Accepted);
        EgressStatistics statistics = sandbox.Network.Statistics;
        Assert.Equal((1000, 0), (statistics.ConnectionsOpened, statistics.ConnectionsRefused));
    }

    [SkippableFact]
    public async Task Connections_SixtyFourAtOnce_LoseNothing()
    {
        await using var server = new LoopbackServer(LoopbackServer.EchoAsync);
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(Allowing($"127.0.0.1:{server.Port}"));

        ExecResult result = await RunPythonAsync(sandbox, $$"""
            import socket, os, threading, hashlib
            ok = []
            def one(i):
                data = os.urandom(300000 + i * 1000)
                s = socket.create_connection(("192.0.0.1", {{server.Port}}), 60)
                s.settimeout(120)
                def send():
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                t = threading.Thread(target=send); t.start()
                h = hashlib.sha256(); n = 0
                while True:
                    part = s.recv(65536)
                    if not part: break
                    h.update(part); n += len(part)
                t.join(); s.close()
                if h.digest() == hashlib.sha256(data).digest(): ok.append(i)
            ts = [threading.Thread(target=one, args=(i,)) for i in range(64)]
            [t.start() for t in ts]; [t.join() for t in ts]
            print(len(ok))
            """);

        Assert.Equal("64\n", result.StandardOutput);
    }

    [SkippableFact]
    public async Task Connections_OneReaderThatReadsNothing_DoesNotSlowTheOthers()
    {
        await using var server = new LoopbackServer(LoopbackServer.FloodOrEchoAsync);
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(Allowing($"127.0.0.1:{server.Port}"));

        ExecResult result = await RunPythonAsync(sandbox, $$"""
            import socket
            slow = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
            slow.sendall(b"F")          # the server sends without end; nobody reads
            for i in range(50):
                s = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
                s.settimeout(30)
                s.sendall(b"E" + b"x" * 1000)
                s.shutdown(socket.SHUT_WR)
                got = b""
                while True:
                    part = s.recv(65536)
                    if not part: break
                    got += part
                assert got == b"E" + b"x" * 1000
            got = 0
            slow.settimeout(30)
            while got < 5000000: got += len(slow.recv(65536))
            print("fine")
            """);

        Assert.Equal("fine\n", result.StandardOutput);
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Connections_ThatNobodyReads_TakeBoundedMemory(bool serverSends)
    {
        const int connections = 64;
        const long bound = connections * (256L + 64 + 64) * 1024; // a window, a buffer, and room for what else there is
        await using var server = serverSends ? new LoopbackServer(LoopbackServer.FloodOrEchoAsync) : LoopbackServer.ThatReadsNothing();
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(Allowing($"127.0.0.1:{server.Port}"));
        long before = GC.GetTotalMemory(forceFullCollection: true);

        await using SandboxProcess program = await StartServerAsync(sandbox, $$"""
            import select, socket
            all = []
            for i in range({{connections}}):
                s = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
                s.sendall(b"F")
                s.setblocking(False)
                all.append(s)
            if {{(serverSends ? "True" : "False")}}:
                waiting = set(all)
                while waiting: waiting -= set(select.select(list(waiting), [], [], 60)[0])
            else:
                while select.select([], all, [], 2)[1]:     # until nobody takes anything any more
                    for s in all:
                        try: s.send(b"x" * 65536)
                        except BlockingIOError: pass
            print("up", flush=True)
            import sys; sys.stdin.read()
            """);

        EgressStatistics moved;
        do
        {
            moved = sandbox.Network.Statistics;
            for (int i = 0; i < 500; i++)
            {
                await sandbox.PingAsync();
            }
        }
        while (moved != sandbox.Network.Statistics); // until everything is full

        long grown = GC.GetTotalMemory(forceFullCollection: true) - before;
        Assert.True(grown < bound, $"{connections} connections took {grown} bytes");
        Assert.Equal(connections, sandbox.Network.Statistics.ConnectionsActive);
        Assert.Equal("alive\n", (await sandbox.ExecAsync(["echo", "alive"]).WaitAsync(s_limit)).StandardOutput);
    }

    [SkippableFact]
    public async Task Connection_ClosedByServerWithReset_IsResetInGuest()
    {
        await using var server = new LoopbackServer(LoopbackServer.ResetAsync);
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(Allowing($"127.0.0.1:{server.Port}"));

        ExecResult result = await RunPythonAsync(sandbox, $$"""
            import socket
            s = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
            s.settimeout(30)
            s.sendall(b"hello")
            try:
                while s.recv(100): pass
                print("end")
            except ConnectionResetError:
                print("reset")
            """);

        Assert.Equal("reset\n", result.StandardOutput);
    }

    [SkippableFact]
    public async Task Connection_ResetByGuest_IsResetAtServer()
    {
        var ended = new TaskCompletionSource<SocketError>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new LoopbackServer(async socket =>
        {
            byte[] buffer = new byte[1000];
            try
            {
                while (await socket.ReceiveAsync(buffer) > 0)
                {
                }

                ended.TrySetResult(SocketError.Success);
            }
            catch (SocketException failure)
            {
                ended.TrySetResult(failure.SocketErrorCode);
            }
        });
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(Allowing($"127.0.0.1:{server.Port}"));

        await RunPythonAsync(sandbox, $$"""
            import socket, struct
            s = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
            s.sendall(b"hello")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
            """);

        Assert.Equal(SocketError.ConnectionReset, await ended.Task.WaitAsync(s_limit));
    }

    [SkippableFact]
    public async Task Connections_ResetByGuestWhileServersAreStuck_GiveTheirPlacesBack()
    {
        await using LoopbackServer server = LoopbackServer.ThatReadsNothing();
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(Allowing($"127.0.0.1:{server.Port}"));

        // One is stuck because the server takes nothing, one because it says nothing after the program has sent its end.
        await RunPythonAsync(sandbox, $$"""
            import select, socket, struct
            a = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
            b = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
            a.setblocking(False)
            while select.select([], [a], [], 2)[1]:
                try: a.send(b"x" * 65536)
                except BlockingIOError: pass
            b.sendall(b"hello"); b.shutdown(socket.SHUT_WR)
            for s in (a, b):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
            """);

        var clock = Stopwatch.StartNew();
        while (sandbox.Network.Statistics.ConnectionsActive > 0)
        {
            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(30), "the connections are still there");
            await sandbox.PingAsync();
        }

        Assert.Equal(2, sandbox.Network.Statistics.ConnectionsOpened);
    }

    [SkippableFact]
    public async Task Connection_OfEndedSandbox_IsResetAtServer()
    {
        var ended = new TaskCompletionSource<SocketError>(TaskCreationOptions.RunContinuationsAsynchronously);
        var connected = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new LoopbackServer(async socket =>
        {
            byte[] buffer = new byte[1000];
            try
            {
                while (await socket.ReceiveAsync(buffer) > 0)
                {
                    connected.TrySetResult();
                }

                ended.TrySetResult(SocketError.Success);
            }
            catch (SocketException failure)
            {
                ended.TrySetResult(failure.SocketErrorCode);
            }
        });
        Sandbox sandbox = await fixture.HostWithImage.CreateAsync(Allowing($"127.0.0.1:{server.Port}"));
        Task run = RunPythonAsync(sandbox, $$"""
            import socket, time
            s = socket.create_connection(("192.0.0.1", {{server.Port}}), 30)
            s.sendall(b"hello")
            time.sleep(1000)
            """);
        await connected.Task.WaitAsync(s_limit);

        await sandbox.DisposeAsync();

        Assert.Equal(SocketError.ConnectionReset, await ended.Task.WaitAsync(s_limit));
        await Assert.ThrowsAsync<SandboxLostException>(() => run);
    }

    [SkippableFact]
    public async Task Udp_ThatIsNotDns_IsRefusedAtOnce()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(Allowing());

        ExecResult result = await RunPythonAsync(sandbox, """
            import socket, time
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.settimeout(30)
            s.connect(("93.184.216.34", 443))
            t = time.monotonic()
            try:
                s.send(b"quic"); s.recv(10)
                print("answered")
            except OSError as e:
                print(type(e).__name__, time.monotonic() - t < 10)
            """);

        Assert.Matches("^(ConnectionRefusedError|PermissionError) True\n$", result.StandardOutput);
    }

    [SkippableFact]
    public async Task ConnectAsync_ToServerInGuest_CarriesBytesBothWaysAndHalfCloses()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec());
        await using SandboxProcess server = await StartServerAsync(sandbox, """
            import socket
            s = socket.create_server(("127.0.0.1", 7000))
            print("up", flush=True)
            while True:
                c, _ = s.accept()
                n = 0
                while True:
                    part = c.recv(65536)
                    if not part: break
                    n += len(part); c.sendall(part)
                c.sendall(b"|%d" % n)
                c.close()
            """);
        byte[] sent = RandomNumberGenerator.GetBytes(3_000_000);

        await using SandboxPortStream connection = await sandbox.ConnectAsync(7000).WaitAsync(s_limit);
        Task send = SendAsync(connection, sent);
        using var received = new MemoryStream();
        await connection.CopyToAsync(received).WaitAsync(s_limit);
        await send.WaitAsync(s_limit);

        byte[] tail = System.Text.Encoding.ASCII.GetBytes("|3000000");
        Assert.Equal([.. sent, .. tail], received.ToArray());
    }

    [SkippableFact]
    public async Task ConnectAsync_ToPortWhereNothingListens_SaysRefused()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec());

        var failure = await Assert.ThrowsAsync<SandboxOperationException>(() => sandbox.ConnectAsync(7001).WaitAsync(s_limit));

        Assert.Equal(SandboxErrorCode.ConnectionRefused, failure.Code);
    }

    [SkippableFact]
    public async Task ConnectAsync_DisposedBeforeTheEnd_ResetsInGuest()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec());
        await using SandboxProcess server = await StartServerAsync(sandbox, """
            import socket
            s = socket.create_server(("127.0.0.1", 7002))
            print("up", flush=True)
            c, _ = s.accept()
            try:
                while c.recv(65536): pass
                print("end", flush=True)
            except ConnectionResetError:
                print("reset", flush=True)
            """);
        SandboxPortStream connection = await sandbox.ConnectAsync(7002).WaitAsync(s_limit);
        await connection.WriteAsync(new byte[10]);

        await connection.DisposeAsync();

        Assert.Equal("reset", await ReadLineAsync(server));
    }

    [SkippableFact]
    public async Task MetadataScale_WhereTheSandboxMay_IsCarriedOut()
    {
        await using Sandbox sandbox = await fixture.HostWithImage.CreateAsync(new SandboxSpec { MaxGuestScaleMib = 2_048 });
        string[] curl = ["curl", "-sS", "-w", "%{http_code}", "--max-time", "120", "-X", "POST", "http://169.254.169.254/v1/scale", "-d"];

        ExecResult grown = await sandbox.ExecAsync([.. curl, "{\"memoryMB\":1024}"]).WaitAsync(s_limit);
        ExecResult tooMuch = await sandbox.ExecAsync([.. curl, "{\"memoryMB\":4096}"]).WaitAsync(s_limit);

        Assert.Equal("{\"ok\":true,\"memoryMB\":1024,\"cpuPercent\":100}200", grown.StandardOutput);
        Assert.Equal(1_024, sandbox.Limits.MemoryMib);
        Assert.EndsWith("400", tooMuch.StandardOutput, StringComparison.Ordinal);
    }

    private static async Task SendAsync(SandboxPortStream connection, byte[] bytes)
    {
        await connection.WriteAsync(bytes);
        await connection.CompleteWritesAsync();
    }

    private static async Task<ExecResult> RunPythonAsync(Sandbox sandbox, string program)
    {
        ExecResult result = await sandbox.ExecAsync(["python3", "-c", program]).WaitAsync(s_limit);
        Assert.True(result.ExitCode == 0, string.Create(CultureInfo.InvariantCulture, $"exit code {result.ExitCode}: {result.StandardError}"));
        return result;
    }

    private static async Task<SandboxProcess> StartServerAsync(Sandbox sandbox, string program)
    {
        SandboxProcess process = await sandbox.StartAsync(["python3", "-c", program]).WaitAsync(s_limit);
        Assert.Equal("up", await ReadLineAsync(process));
        return process;
    }

    private static async Task<string> ReadLineAsync(SandboxProcess process)
    {
        byte[] buffer = new byte[100];
        int length = 0;
        while (length == 0 || buffer[length - 1] != '\n')
        {
            int count = (await process.ReadAsync(buffer.AsMemory(length)).AsTask().WaitAsync(s_limit)).Count;
            Assert.NotEqual(0, count);
            length += count;
        }

        return System.Text.Encoding.UTF8.GetString(buffer, 0, length - 1);
    }
}
