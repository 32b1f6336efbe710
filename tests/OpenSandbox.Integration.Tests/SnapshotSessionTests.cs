using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Integration.Tests;

/// <summary>
/// What a saved sandbox sees when it wakes up, and a copy of it: another host's session begins on a guest that stands still.
/// </summary>
[Collection(HostFixture.Collection)]
public sealed class SnapshotSessionTests(HostFixture fixture) : SandboxTests(fixture)
{
    private const ulong FirstEpoch = 0x1111_2222_3333_4444;
    private const ulong SecondEpoch = 0x5555_6666_7777_8888;

    [SkippableFact]
    public async Task NewSession_GuestThatStandsStill_RunsOnlyAfterResume()
    {
        SandboxProcess watcher = await Sandbox.StartAsync(["python3", "-c", SnapshotQuiesceTests.Watcher], cancellationToken: Deadline());
        await ReadUntilAsync(watcher, static text => text.Contains("watching\n", StringComparison.Ordinal));
        await StandStillAsync();

        await using GuestChannel channel = SessionTakeover.TakeOver(Sandbox, FirstEpoch);
        AgentHello hello = await channel.WaitForHelloAsync(Deadline(30));
        Assert.True(hello.Quiesced);
        Assert.True(hello.Resumed);
        await PassTimeAsync(channel, 1.0);
        ResumeRequest request = Resume() with { WallClockNanoseconds = 2_240_000_000_000_000_000 }; // 2040
        await channel.ResumeAsync(request, Deadline(30));

        // What the process told about its longest pause came after the new date: it had not run between the new session and its resume.
        await using GuestStream attached = Open(channel, Operations.Attach, new ProcessRequest { Id = watcher.Id });
        string told = await ReadUntilAsync(attached, static text => text.Contains(" 2040\n", StringComparison.Ordinal));
        string[] words = told.Split('\n').First(static line => line.EndsWith(" 2040", StringComparison.Ordinal)).Split(' ');
        Assert.InRange(double.Parse(words[0], CultureInfo.InvariantCulture), 0.9, 60);
    }

    [SkippableFact]
    public async Task NewSession_AttachedProcessLivesOn_ExecAndConnectionsEnd()
    {
        SandboxProcess attached = await Sandbox.StartAsync("echo before; read line; echo $line; exit 7", cancellationToken: Deadline());
        Assert.Equal("before\n", await ReadLineAsync(attached));
        SandboxProcess terminal = await Sandbox.StartAsync(
            "trap 'echo hup' HUP; echo ready; while read line; do echo got $line; done",
            new StartOptions { Terminal = new TerminalOptions() },
            Deadline());
        await ReadUntilAsync(terminal, static text => text.Contains("ready", StringComparison.Ordinal));
        SandboxProcess silent = await Sandbox.StartAsync(["yes"], new StartOptions { Delivery = OutputDelivery.Lossless }, Deadline());
        Task<ExecResult> plain = Sandbox.ExecAsync(["sleep", "1041"], cancellationToken: Deadline());
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1041") == "1\n");
        await Sandbox.Files.WriteTextAsync("/workspace/server.py", """
            import socket
            server = socket.create_server(("127.0.0.1", 7001))
            print("listening", flush=True)
            while True:
                connection, _ = server.accept()
                connection.sendall(b"hello")
                try:
                    print("end", len(connection.recv(10)), flush=True)
                except ConnectionResetError:
                    print("reset", flush=True)
            """);
        SandboxProcess server = await Sandbox.StartAsync(["python3", "/workspace/server.py"], cancellationToken: Deadline());
        Assert.Equal("listening\n", await ReadLineAsync(server));
        await using SandboxPortStream connection = await Sandbox.ConnectAsync(7001, Deadline());
        byte[] greeting = new byte[5];
        await connection.ReadExactlyAsync(greeting, Deadline());
        await StandStillAsync();

        await using GuestChannel channel = SessionTakeover.TakeOver(Sandbox, FirstEpoch);
        Assert.True((await channel.WaitForHelloAsync(Deadline(30))).Quiesced);
        await channel.ResumeAsync(Resume(), Deadline(30));

        await using GuestStream again = Open(channel, Operations.Attach, new ProcessRequest { Id = attached.Id, Input = true });
        ProcessAttached head = (await again.GetStartedAsync(Deadline(20)))!.Process!;
        Assert.Equal((0, 7), (head.Sequence, head.ReplayEnd));
        Assert.True(await again.WriteAsync("after\n"u8.ToArray(), Deadline()));
        Assert.Equal("before\nafter\n", await ReadToEndAsync(again));
        Assert.Equal(7, (await again.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, Deadline(20))).ExitCode);

        await using GuestStream onTerminal = Open(channel, Operations.Attach, new ProcessRequest { Id = terminal.Id, Input = true });
        Assert.True(await onTerminal.WriteAsync("more\n"u8.ToArray(), Deadline()));
        string typed = await ReadUntilAsync(onTerminal, static text => text.Contains("got more", StringComparison.Ordinal));
        Assert.DoesNotContain("hup", typed, StringComparison.Ordinal);

        // The command whose result nobody can take any more is gone, the connection was reset, and the server goes on listening.
        Assert.Equal("0\n", await RunAsync(channel, "while pgrep -xfc 'sleep 1041' > /dev/null; do :; done; echo 0"));
        await using GuestStream served = Open(channel, Operations.Attach, new ProcessRequest { Id = server.Id });
        await ReadUntilAsync(served, static text => text.Contains("reset", StringComparison.Ordinal));
        await using GuestStream connected = channel.OpenStream(
            GuestPort.Network, new OpenRequest { Op = Operations.Connect, Tcp = new TcpRequest { Port = 7001 } });
        Assert.Equal("hello", await ReadUntilAsync(connected, static text => text.Length >= 5));

        // What was delivered without loss before holds nothing back any more.
        await ExecTests.UntilAsync(async () =>
        {
            await using GuestStream later = Open(channel, Operations.Log, new ProcessRequest { Id = silent.Id, Length = 1 });
            return (await later.GetResultAsync(ProtocolJsonContext.Default.ProcessLogResult, Deadline(20))).FirstAvailable > 10_000_000;
        });
        Assert.False(plain.IsCompletedSuccessfully);
    }

    [SkippableFact]
    public async Task NewSession_HalfAnUploadInTheOldOne_LeavesNothingBehind()
    {
        // A preamble with an epoch of somebody's own choosing is no more than content.
        byte[] forged = new byte[ProtocolConstants.PreambleSize];
        new Preamble(0xBAD_0000_BAD1, 1).Write(forged);
        byte[] content = [.. Enumerable.Repeat(forged, 8_000).SelectMany(static part => part)];
        using var ended = new CancellationTokenSource();
        Task upload = UploadForEverAsync(content, ended.Token);
        await Sandbox.Files.WriteTextAsync("/workspace/kept", "kept", cancellationToken: Deadline());
        await StandStillAsync();

        await using GuestChannel channel = SessionTakeover.TakeOver(Sandbox, FirstEpoch);
        Assert.True((await channel.WaitForHelloAsync(Deadline(30))).Quiesced);
        await channel.ResumeAsync(Resume(), Deadline(30));
        Assert.Equal("kept\nlost+found\n", await RunAsync(channel, "ls -A /workspace"));
        await ended.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => upload.WaitAsync(Deadline(30)));
    }

    [SkippableFact]
    public async Task NewSession_HostThatGoesAwayBeforeResume_IsFollowedByAnother()
    {
        SandboxProcess watcher = await Sandbox.StartAsync(["python3", "-c", SnapshotQuiesceTests.Watcher], cancellationToken: Deadline());
        await ReadUntilAsync(watcher, static text => text.Contains("watching\n", StringComparison.Ordinal));
        await StandStillAsync(watchdogMilliseconds: 5_000);

        await using GuestChannel first = SessionTakeover.TakeOver(Sandbox, FirstEpoch);
        Assert.True((await first.WaitForHelloAsync(Deadline(30))).Quiesced);
        await PassTimeAsync(first, 5.5); // the watchdog is off: this host may take its time
        await using GuestChannel second = SessionTakeover.TakeOver(first, SecondEpoch);
        Assert.True((await second.WaitForHelloAsync(Deadline(30))).Quiesced);
        Assert.False((await second.ThawAsync(SnapshotQuiesceTests.Thaw(), Deadline(30))).Ok); // that belongs to the session that quiesced
        await second.ResumeAsync(Resume(), Deadline(30));

        Assert.Equal("ok\n", await RunAsync(second, "echo ok"));
        Assert.True((await second.QuiesceAsync(new QuiesceRequest { Snapshot = true }, Deadline(30))).Ok);
        Assert.True((await second.ThawAsync(SnapshotQuiesceTests.Thaw(), Deadline(30))).Ok);
    }

    [SkippableFact]
    public async Task NewSession_ResumeWithAnotherIdentity_ChangesItAndEverythingElseThatWasAskedFor()
    {
        string hosts = await RunAsync("cat /etc/hosts");
        string id = await RunAsync("cat /etc/machine-id");
        string old = (await RunAsync("hostname")).Trim();
        await StandStillAsync();

        await using GuestChannel channel = SessionTakeover.TakeOver(Sandbox, FirstEpoch);
        await channel.WaitForHelloAsync(Deadline(30));
        await Assert.ThrowsAsync<GuestOperationException>(() => channel.ResumeAsync(Resume() with { EntropySeed = [1] }, Deadline(30)));
        await channel.ResumeAsync(
            Resume() with
            {
                Hostname = "the-copy",
                RenewIdentity = true,
                Environment = new Dictionary<string, string> { ["FROM_COPY"] = "yes" },
                Limits = new GuestLimits { PidsMax = 77 },
                Description = new SandboxDescription { SandboxId = "sb-copy", Metadata = new Dictionary<string, string> { ["who"] = "copy" } },
            },
            Deadline(30));

        Assert.Equal("the-copy\nthe-copy\nyes\n\n77\n", await RunAsync(
            channel, "hostname; cat /etc/hostname; echo $FROM_COPY; echo $FROM_SPEC; cat /sys/fs/cgroup/sandbox/pids.max"));
        Assert.Equal(hosts.Replace(old, "the-copy", StringComparison.Ordinal), await RunAsync(channel, "cat /etc/hosts"));
        string renewed = await RunAsync(channel, "cat /etc/machine-id");
        Assert.NotEqual(id, renewed);
        Assert.Matches("^[0-9a-f]{32}\n$", renewed);
        Assert.Equal("444 root\n", await RunAsync(channel, "stat -c '%a %U' /etc/machine-id; ls -A /etc | grep opensandbox-new"));
        Assert.Contains("\"who\":\"copy\"", await RunAsync(channel, "curl -s http://127.0.0.1:61003/v1/metadata"), StringComparison.Ordinal);
        Assert.Contains("sb-copy", await RunAsync(channel, "curl -s http://127.0.0.1:61003/v1/status"), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task NewSession_HostileFilesInPlaceOfIdentity_AreReplacedAndNotFollowed()
    {
        await Sandbox.ExecAsync(
            ["sh", "-c", "echo keep > /victim; ln -sf /victim /etc/machine-id; rm /etc/hostname /etc/hosts; mkfifo /etc/hostname /etc/hosts; mkdir /etc/.hostname.opensandbox-new"],
            new ExecOptions { User = "root" },
            Deadline());
        await StandStillAsync();
        await using GuestChannel channel = SessionTakeover.TakeOver(Sandbox, FirstEpoch);
        await channel.WaitForHelloAsync(Deadline(30));
        await channel.ResumeAsync(Resume() with { Hostname = "the-copy", RenewIdentity = true }, Deadline(30));

        Assert.Equal("keep\nregular file\nfifo\n", await RunAsync(channel, "cat /victim; stat -c %F /etc/machine-id /etc/hosts"));
    }

    [SkippableFact]
    public async Task NewSession_GuestThatRuns_IsNotQuiescedAndKeepsItsIdentity()
    {
        string id = await RunAsync("cat /etc/machine-id; hostname");
        await using GuestChannel channel = SessionTakeover.TakeOver(Sandbox, FirstEpoch);
        Assert.False((await channel.WaitForHelloAsync(Deadline(30))).Quiesced);
        await channel.ResumeAsync(
            Resume() with { Hostname = "other", RenewIdentity = true, Environment = new Dictionary<string, string> { ["NEW"] = "env" } }, Deadline(30));
        Assert.Equal(id + "env\n", await RunAsync(channel, "cat /etc/machine-id; hostname; echo $NEW"));
    }

    private static ResumeRequest Resume() => new()
    {
        WallClockNanoseconds = (TimeProvider.System.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks * 100,
        EntropySeed = RandomNumberGenerator.GetBytes(64),
        Hostname = "resumed",
    };

    private static GuestStream Open(GuestChannel channel, string operation, ProcessRequest process) =>
        channel.OpenStream(GuestPort.Bulk, new OpenRequest { Op = operation, Process = process });

    /// <summary>Pings until the guest has lived through so many seconds: each round trip is work of its own clock.</summary>
    private static async Task PassTimeAsync(GuestChannel channel, double seconds)
    {
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed.TotalSeconds < seconds)
        {
            await channel.PingAsync(default, Deadline(30));
        }
    }

    private static async Task<string> ReadUntilAsync(GuestStream stream, Func<string, bool> condition)
    {
        var text = new StringBuilder();
        byte[] buffer = new byte[4_096];
        while (!condition(text.ToString()))
        {
            int count = (await stream.ReadAsync(buffer, Deadline(30))).Count;
            Assert.True(count > 0, $"the output ended after: {text}");
            text.Append(Encoding.UTF8.GetString(buffer.AsSpan(0, count)));
        }

        return text.ToString();
    }

    private static async Task<string> ReadToEndAsync(GuestStream stream)
    {
        var text = new StringBuilder();
        byte[] buffer = new byte[4_096];
        int count;
        while ((count = (await stream.ReadAsync(buffer, Deadline(30))).Count) > 0)
        {
            text.Append(Encoding.UTF8.GetString(buffer.AsSpan(0, count)));
        }

        return text.ToString();
    }

    private static async Task<string> RunAsync(GuestChannel channel, string script)
    {
        await using GuestStream stream = channel.OpenStream(
            GuestPort.Bulk, new OpenRequest { Op = Operations.Exec, Exec = new ExecRequest { Argv = ["sh", "-c", script], User = "root" } });
        return await ReadToEndAsync(stream);
    }

    private async Task<string> RunAsync(string script) =>
        (await Sandbox.ExecAsync(["sh", "-c", script], cancellationToken: Deadline())).EnsureSuccess().StandardOutput;

    private async Task UploadForEverAsync(byte[] content, CancellationToken ended)
    {
        await using GuestStream stream = Sandbox.Channel.OpenStream(
            GuestPort.Bulk, new OpenRequest { Op = Operations.Write, File = new FileRequest { Path = "/workspace/half" } });
        while (await stream.WriteAsync(content, ended))
        {
        }
    }

    private async Task StandStillAsync(int? watchdogMilliseconds = null)
    {
        QuiesceReply quiesced = await Sandbox.Channel.QuiesceAsync(
            new QuiesceRequest { Snapshot = true, WatchdogMilliseconds = watchdogMilliseconds }, Deadline());
        Assert.True(quiesced.Ok, quiesced.Reason);
    }
}
