using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using OpenSandbox.VirtioSerial;
using Xunit.Abstractions;

namespace OpenSandbox.Integration.Tests;

/// <summary>A running sandbox that is brought to a stand and set going again in the same session.</summary>
[Collection(HostFixture.Collection)]
public sealed class SnapshotQuiesceTests(HostFixture fixture, ITestOutputHelper log) : SandboxTests(fixture)
{
    private const int Rounds = 50;

    /// <summary>Runs without a pause and prints each pause that lasted longer than 0.3 s, on the guest's monotonic clock, with the date after it.</summary>
    private const string PauseWatcher = """
        import time
        print("watching", flush=True)
        last = time.monotonic()
        while True:
            now = time.monotonic()
            if now - last > 0.3:
                print(now - last, time.gmtime().tm_year, flush=True)
                now = time.monotonic()
            last = now
        """;

    private GuestChannel Channel => Sandbox.Channel;

    [SkippableFact]
    public async Task Thaw_ManyTimesWithOutputUploadAndConnectionUnderWay_LosesNothing()
    {
        await Sandbox.Files.WriteTextAsync("/workspace/echo.py", """
            import socket
            server = socket.create_server(("127.0.0.1", 7000))
            print("listening", flush=True)
            connection, _ = server.accept()
            while data := connection.recv(65536):
                connection.sendall(data)
            """);
        SandboxProcess echo = await Sandbox.StartAsync(["python3", "/workspace/echo.py"], cancellationToken: Deadline());
        Assert.Equal("listening\n", await ReadLineAsync(echo));
        await Sandbox.Files.WriteTextAsync("/workspace/stop-soon", "");
        SandboxProcess counter = await Sandbox.StartAsync(
            "i=0; while [ -e /workspace/stop-soon ]; do i=$((i+1)); echo $i; echo e$i >&2; done", cancellationToken: Deadline());
        Task<(string Output, string Error)> counted = ReadBothAsync(counter);
        await using var content = new EndlessContent();
        Task<long> upload = Sandbox.Files.WriteAsync("/workspace/uploaded", content, cancellationToken: Deadline());
        await using SandboxPortStream connection = await Sandbox.ConnectAsync(7000, Deadline());
        using var stop = new CancellationTokenSource();
        Task<long> echoed = EchoAsync(connection, stop.Token);

        var latency = new List<double>();
        for (int i = 0; i < Rounds; i++)
        {
            latency.Add(await StandStillOnceAsync(i));
            Assert.True((await Channel.PingAsync(default, Deadline())) > TimeSpan.Zero);
        }

        await stop.CancelAsync();
        content.End();
        long sent = await echoed.WaitAsync(Deadline());
        Assert.Equal(content.Given, await upload.WaitAsync(Deadline()));
        await Sandbox.Files.DeleteAsync("/workspace/stop-soon", cancellationToken: Deadline());
        (string output, string error) = await counted.WaitAsync(Deadline());
        log.WriteLine($"under load: p50 {Median(latency):F1} ms, most {latency.Max():F1} ms; {content.Given} bytes up, {sent} echoed");
        Assert.Equal(content.Hash(), (await Sandbox.ExecAsync(["sha256sum", "/workspace/uploaded"], cancellationToken: Deadline())).StandardOutput[..64]);
        string[] lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string[] errors = error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.True(lines.Length > 100, $"{lines.Length} lines");
        Assert.Equal(Enumerable.Range(1, lines.Length).Select(i => i.ToString(CultureInfo.InvariantCulture)), lines);
        Assert.Equal(Enumerable.Range(1, lines.Length).Select(i => "e" + i.ToString(CultureInfo.InvariantCulture)), errors);
    }

    [SkippableFact]
    public async Task Thaw_IdleSandbox_IsFast()
    {
        var quiesce = new List<double>();
        var thaw = new List<double>();
        (await Sandbox.ExecAsync(["sync"], cancellationToken: Deadline())).EnsureSuccess(); // nothing is dirty from here on
        for (int i = 0; i < Rounds; i++)
        {
            var clock = Stopwatch.StartNew();
            QuiesceReply reply = await Channel.QuiesceAsync(new QuiesceRequest { Snapshot = true }, Deadline());
            quiesce.Add(clock.Elapsed.TotalMilliseconds);
            Assert.True(reply.Ok, reply.Reason);
            clock.Restart();
            await ThawAsync();
            thaw.Add(clock.Elapsed.TotalMilliseconds);
        }

        log.WriteLine($"idle: quiesce p50 {Median(quiesce):F2} ms (first {quiesce[0]:F2}, least {quiesce.Min():F2}), "
            + $"thaw p50 {Median(thaw):F2} ms (first {thaw[0]:F2}, least {thaw.Min():F2})");
        Assert.True(Median(quiesce) < 500, $"quiesce took {Median(quiesce)} ms");
        Assert.Equal("ok\n", (await Sandbox.ExecAsync(["echo", "ok"], cancellationToken: Deadline())).StandardOutput);
    }

    [SkippableFact]
    public async Task Watchdog_NobodyThaws_ProcessesStoodStillAndGoOnAndThawedSaysSo()
    {
        SandboxProcess watcher = await Sandbox.StartAsync(["python3", "-c", PauseWatcher], cancellationToken: Deadline());
        await ReadUntilAsync(watcher, static text => text.Contains("watching\n", StringComparison.Ordinal));

        QuiesceReply quiesced = await Channel.QuiesceAsync(new QuiesceRequest { Snapshot = true, WatchdogMilliseconds = 1_500 }, Deadline());
        Assert.True(quiesced.Ok, quiesced.Reason);
        Assert.InRange(await LongestPauseAsync(watcher, 1.4), 1.4, 60);

        Task<TimeSpan> held = Channel.PingAsync(default, Deadline()).AsTask();
        ThawedReply thawed = await Channel.ThawAsync(Thaw(), Deadline());
        Assert.Equal((true, true), (thawed.Ok, thawed.WatchdogFired));
        await held;
        Assert.Equal("ok\n", (await Sandbox.ExecAsync(["echo", "ok"], cancellationToken: Deadline())).StandardOutput);
        await StandStillOnceAsync(0);
        Assert.False((await Channel.ThawAsync(Thaw(), Deadline())).Ok);
    }

    [SkippableTheory]
    [InlineData("/workspace/written")]
    [InlineData("/var/tmp/written")]
    public async Task Quiesced_WriteToDisk_WaitsUntilThaw(string path)
    {
        // Root can leave the cgroup of the sandbox's processes, and so sees what a process sees that could not be frozen.
        SandboxProcess writer = await Sandbox.StartAsync(["python3", "-c", $$"""
            import os, time
            open("/sys/fs/cgroup/cgroup.procs", "w").write(str(os.getpid()))
            print("writing", flush=True)
            while True:
                before = time.monotonic()
                with open("{{path}}", "w") as file:
                    file.write("x")
                took = time.monotonic() - before
                if took > 0.3:
                    print(took, 0, flush=True)
            """], new StartOptions { User = "root" }, Deadline());
        Assert.Contains("writing\n", await ReadLineAsync(writer), StringComparison.Ordinal);

        QuiesceReply quiesced = await Channel.QuiesceAsync(new QuiesceRequest { Snapshot = true, WatchdogMilliseconds = 1_500 }, Deadline());
        Assert.True(quiesced.Ok, quiesced.Reason);
        Assert.InRange(await LongestPauseAsync(writer, 1.0), 1.0, 60);
        await ThawAsync(fired: true);
    }

    [SkippableTheory]
    [InlineData("fork bomb", "import os\nwhile True:\n  try:\n    os.fork()\n  except OSError:\n    pass\n  print('up', flush=True)")]
    [InlineData("stopped", "import os, signal\nif os.fork() == 0:\n  os.kill(os.getpid(), signal.SIGSTOP)\nprint('up', flush=True)\nsignal.pause()")]
    [InlineData("vfork", "import os\nos.mkfifo('/tmp/never')\nprint('up', flush=True)\n"
        + "os.posix_spawn('/bin/true', ['true'], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, '/tmp/never', os.O_RDONLY, 0)])")]
    [InlineData("traced", "import ctypes, os, signal\nif os.fork() == 0:\n  ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n  os.kill(os.getpid(), signal.SIGTRAP)\n"
        + "print('up', flush=True)\nsignal.pause()")]
    public async Task Quiesce_DifficultProcesses_StandStillAndGoOn(string kind, string script)
    {
        SandboxProcess process = await Sandbox.StartAsync(["python3", "-c", script], new StartOptions { Delivery = OutputDelivery.Lossy }, Deadline());
        await ReadUntilAsync(process, static text => text.Contains("up\n", StringComparison.Ordinal));
        for (int i = 0; i < 5; i++)
        {
            log.WriteLine($"{kind}: {await StandStillOnceAsync(i):F1} ms");
        }

        await process.KillAsync(Deadline());
    }

    [SkippableFact]
    public async Task Quiesce_ProcessThatCannotBeStopped_IsRefusedAndUndone()
    {
        SandboxProcess stuck = await Sandbox.StartAsync(
            "fsfreeze -f /workspace && echo frozen && touch /workspace/stuck && echo done", new StartOptions { User = "root", WorkingDirectory = "/" }, Deadline());
        Assert.Equal("frozen\n", await ReadLineAsync(stuck));
        await ExecTests.UntilAsync(async () => (await Sandbox.ExecAsync(
            ["sh", "-c", "grep -l '^State:.D' /proc/[0-9]*/status 2>/dev/null | wc -l"], new ExecOptions { WorkingDirectory = "/" }, Deadline())).StandardOutput != "0\n");

        var clock = Stopwatch.StartNew();
        QuiesceReply refused = await Channel.QuiesceAsync(new QuiesceRequest { Snapshot = true }, Deadline());
        Assert.False(refused.Ok);
        Assert.Contains("could not be stopped", refused.Reason, StringComparison.Ordinal);
        Assert.InRange(clock.Elapsed.TotalSeconds, 2, 30);

        await Sandbox.ExecAsync(["fsfreeze", "-u", "/workspace"], new ExecOptions { User = "root", WorkingDirectory = "/" }, Deadline());
        Assert.Equal("done\n", await ReadTextAsync(stuck));
        await StandStillOnceAsync(0);
    }

    [SkippableFact]
    public async Task Quiesce_FileSystemFrozenByTheSandboxItself_StaysSo()
    {
        ExecOptions root = new() { User = "root", WorkingDirectory = "/" };
        (await Sandbox.ExecAsync(["fsfreeze", "-f", "/workspace"], root, Deadline())).EnsureSuccess();
        await StandStillOnceAsync(0);
        (await Sandbox.ExecAsync(["fsfreeze", "-u", "/workspace"], root, Deadline())).EnsureSuccess();
        await Sandbox.Files.WriteTextAsync("/workspace/after", "x", cancellationToken: Deadline());
    }

    [SkippableFact]
    public async Task Thaw_ClockAndEntropy_AreThoseOfTheRequest()
    {
        // Straight after the resume: its result is all that a quiesce needs.
        QuiesceReply first = await Channel.QuiesceAsync(new QuiesceRequest { Snapshot = true }, Deadline());
        Assert.True(first.Ok, first.Reason);
        DateTimeOffset later = new(2041, 5, 6, 7, 8, 9, TimeSpan.Zero);
        ThawedReply thawed = await Channel.ThawAsync(
            new ThawRequest { WallClockNanoseconds = (later - DateTimeOffset.UnixEpoch).Ticks * 100, EntropySeed = new byte[32] }, Deadline());
        Assert.True(thawed.Ok, thawed.Reason);
        Assert.StartsWith("2041-05-06T07:", (await Sandbox.ExecAsync(["date", "-u", "+%FT%T"], cancellationToken: Deadline())).StandardOutput, StringComparison.Ordinal);

        Assert.True((await Channel.QuiesceAsync(new QuiesceRequest { Snapshot = true }, Deadline())).Ok);
        ThawedReply short_ = await Channel.ThawAsync(Thaw() with { EntropySeed = [1, 2, 3] }, Deadline());
        Assert.False(short_.Ok);
        Assert.Contains("entropySeed", short_.Reason, StringComparison.Ordinal);
        Assert.Equal("ok\n", (await Sandbox.ExecAsync(["echo", "ok"], cancellationToken: Deadline())).StandardOutput);
    }

    /// <summary>The time that a watcher of pauses, or of slow writes, tells first that is at least so long.</summary>
    internal static async Task<double> LongestPauseAsync(SandboxProcess process, double atLeast)
    {
        double found = 0;
        await ReadUntilAsync(process, text =>
        {
            foreach (string line in text.Split('\n')[..^1])
            {
                string[] words = line.Split(' ');
                found = double.TryParse(words[0], CultureInfo.InvariantCulture, out double pause) && pause >= atLeast ? pause : found;
            }

            return found > 0;
        });
        return found;
    }

    internal static ThawRequest Thaw() => new()
    {
        WallClockNanoseconds = (TimeProvider.System.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks * 100,
        EntropySeed = RandomNumberGenerator.GetBytes(64),
    };

    internal static string Watcher => PauseWatcher;

    private static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

    private static async Task<long> EchoAsync(SandboxPortStream connection, CancellationToken stop)
    {
        var random = new Random(99);
        long total = 0;
        while (!stop.IsCancellationRequested)
        {
            byte[] sent = new byte[1 + random.Next(60_000)];
            random.NextBytes(sent);
            Task writing = connection.WriteAsync(sent, Deadline()).AsTask();
            byte[] received = new byte[sent.Length];
            await connection.ReadExactlyAsync(received, Deadline());
            await writing;
            Assert.Equal(sent, received);
            total += sent.Length;
        }

        return total;
    }

    private async Task<double> StandStillOnceAsync(int round)
    {
        var clock = Stopwatch.StartNew();
        QuiesceReply quiesced = await Channel.QuiesceAsync(new QuiesceRequest { Snapshot = true }, Deadline());
        Assert.True(quiesced.Ok, $"round {round}: {quiesced.Reason}");
        await ThawAsync();
        return clock.Elapsed.TotalMilliseconds;
    }

    private async Task ThawAsync(bool fired = false)
    {
        ThawedReply thawed = await Channel.ThawAsync(Thaw(), Deadline());
        Assert.True(thawed.Ok, thawed.Reason);
        Assert.Equal(fired, thawed.WatchdogFired);
    }
}
