using System.Security.Cryptography;
using System.Text;

namespace OpenSandbox.Integration.Tests;

/// <summary>Started processes: their input and output, their end, and what the options do.</summary>
[Collection(HostFixture.Collection)]
public sealed class ProcessTests(HostFixture fixture) : SandboxTests(fixture)
{
    [SkippableFact]
    public async Task Start_BothOutputsAndExit_AreReported()
    {
        await using SandboxProcess process = await Sandbox.StartAsync("echo out; echo err >&2; exit 3", cancellationToken: Deadline());
        (string output, string error) = await ReadBothAsync(process);
        SandboxProcessExit exit = await process.WaitAsync(Deadline());

        Assert.Equal("out\n", output);
        Assert.Equal("err\n", error);
        Assert.Equal(3, exit.ExitCode);
        Assert.Matches("^[0-9a-f]{8}$", process.Id);
        Assert.True(process.Pid > 1);
    }

    [SkippableFact]
    public async Task Start_Wait_DoesNotNeedAReader()
    {
        await using SandboxProcess process = await Sandbox.StartAsync("head -c 400000 /dev/zero; exit 4", cancellationToken: Deadline());

        Assert.Equal(4, (await process.WaitAsync(Deadline())).ExitCode);
        Assert.Equal(400_000, (await ReadAllAsync(process)).Length);
    }

    [SkippableFact]
    public async Task Wait_LeftOverHasReadWhatTheProcessWrote_StillEnds()
    {
        // The process fills the ring and then the pipe, and ends; only then is the pipe emptied, by what the process has left running.
        const string script = """
            echo $$ >/tmp/pid
            (
              exec 3</proc/self/fd/1
              until [ -e /tmp/take ]; do sleep 0.05; done
              dd bs=1M count=1 <&3 >/dev/null 2>&1
              touch /tmp/taken
              sleep 1027
            ) &
            timeout 2 cat /dev/zero
            exit 5
            """;
        await using SandboxProcess process = await Sandbox.StartAsync(
            ["sh", "-c", script],
            new StartOptions { User = "root", Delivery = OutputDelivery.Lossless, ScrollbackBytes = StartOptions.MinScrollbackBytes },
            Deadline());
        await ExecTests.UntilAsync(async () => (await Sandbox.ExecAsync(
            ["sh", "-c", "[ -s /tmp/pid ] && ! [ -e /proc/$(cat /tmp/pid) ]"], cancellationToken: Deadline())).ExitCode == 0);
        Assert.True((await Sandbox.Processes.ListAsync(Deadline())).Single(p => p.Id == process.Id).IsRunning);
        await Sandbox.Files.WriteTextAsync("/tmp/take", "", cancellationToken: Deadline());
        await ExecTests.UntilAsync(async () => await Sandbox.Files.ExistsAsync("/tmp/taken", Deadline()));

        Assert.NotEmpty(await ReadAllAsync(process));
        SandboxProcessExit exit = await process.WaitAsync(Deadline(30));
        Assert.Equal((5, true, true), (exit.ExitCode, exit.OutputCut, exit.LeftProcesses));
    }

    [SkippableFact]
    public async Task Exec_LeftOverReadsTheOutputPipe_StillEnds()
    {
        for (int i = 0; i < 20; i++)
        {
            ExecResult result = await Sandbox.ExecAsync(
                ["sh", "-c", $"cat </proc/self/fd/1 3>&1 >/dev/null & head -c 300000 /dev/zero; exit {i}"],
                new ExecOptions { User = "root" },
                Deadline(30));
            Assert.Equal((i, true), (result.ExitCode, result.Exit.OutputCut));
        }

        await Sandbox.ExecAsync(["pkill", "-x", "cat"], new ExecOptions { User = "root" }, Deadline());
    }

    [SkippableFact]
    public async Task Start_100AtOnce_AllAreRight()
    {
        await using Sandbox large = await Fixture.HostWithImage.CreateAsync(new SandboxSpec { PidsMax = 1_000 }, Deadline());
        SandboxProcess[] processes = await Task.WhenAll(Enumerable.Range(0, 100).Select(
            i => large.StartAsync(["sh", "-c", $"read line; echo {i} $line; exit {i}"], cancellationToken: Deadline())));
        Assert.Equal(100, (await large.Processes.ListAsync(Deadline())).Count(static p => p.IsRunning && p.IsManaged));
        await Task.WhenAll(processes.Select(async process => await process.WriteAsync("in\n"u8.ToArray(), Deadline())));
        string[] outputs = await Task.WhenAll(processes.Select(async p => Encoding.UTF8.GetString(await ReadAllAsync(p))));
        SandboxProcessExit[] exits = await Task.WhenAll(processes.Select(p => p.WaitAsync(Deadline())));

        Assert.Equal(Enumerable.Range(0, 100).Select(static i => $"{i} in\n"), outputs);
        Assert.Equal(Enumerable.Range(0, 100), exits.Select(static e => e.ExitCode));
        Assert.Equal(100, processes.Select(static p => p.Id).Distinct(StringComparer.Ordinal).Count());
        foreach (SandboxProcess process in processes)
        {
            await process.DisposeAsync();
        }
    }

    [SkippableFact]
    public async Task Start_100MBThroughCat_ComesBackExactly()
    {
        const int length = 100_000_000;
        byte[] input = new byte[length];
        new Random(5).NextBytes(input);
        await using SandboxProcess process = await Sandbox.StartAsync(["cat"], cancellationToken: Deadline());
        Task writing = Task.Run(async () =>
        {
            Assert.True(await process.WriteAsync(input, Deadline(300)));
            await process.CompleteInputAsync(Deadline());
        });
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[262_144];
        long total = 0;
        SandboxOutput piece;
        while (!(piece = await process.ReadAsync(buffer, Deadline(300))).IsEnd)
        {
            Assert.Equal(SandboxOutputKind.StandardOutput, piece.Kind);
            Assert.Equal(total, piece.Sequence);
            hash.AppendData(buffer, 0, piece.Count);
            total += piece.Count;
        }

        await writing;
        Assert.Equal(length, total);
        Assert.Equal(SHA256.HashData(input), hash.GetHashAndReset());
        Assert.Equal(0, (await process.WaitAsync(Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task Start_OutputOfEveryKind_ArrivesExactly()
    {
        byte[] input =
        [
            .. Enumerable.Range(0, 256).Select(static i => (byte)i), 0xC3, 0x28, 0xF0, 0x9F, 0x98, (byte)'\n', 0, 0xFF,
            .. Enumerable.Repeat((byte)'x', 65_536), (byte)'\n', .. Enumerable.Repeat((byte)'y', 65_536), .. "no newline at the end"u8,
        ];
        await using SandboxProcess process = await Sandbox.StartAsync(["cat"], cancellationToken: Deadline());
        await process.WriteAsync(input, Deadline());
        await process.CompleteInputAsync(Deadline());

        Assert.Equal(input, await ReadAllAsync(process));
    }

    [SkippableFact]
    public async Task Start_InputNull_IsDevNull()
    {
        await using SandboxProcess process = await Sandbox.StartAsync(
            ["readlink", "/proc/self/fd/0"], new StartOptions { Input = ProcessInput.Null }, Deadline());

        Assert.Equal("/dev/null\n", await ReadTextAsync(process));
    }

    [SkippableFact]
    public async Task Start_UserGroupDirectoryAndEnvironment_AreUsed()
    {
        await Sandbox.ExecAsync("printf 'FROM_IMAGE=image\\nBOTH=\"image\"\\nexport QUOTED='\"'\"'a b'\"'\"'\\n# no\\nbroken line\\n' >/etc/environment", new ExecOptions { User = "root" }, Deadline());
        await using SandboxProcess process = await Sandbox.StartAsync(
            "id -un; id -gn; id -G; pwd; echo $FROM_IMAGE $BOTH $FROM_SPEC $QUOTED $FROM_CALL",
            new StartOptions
            {
                User = "sandbox:daemon",
                WorkingDirectory = "/usr",
                EnvironmentVariables = new Dictionary<string, string> { ["FROM_CALL"] = "call" },
            },
            Deadline());

        Assert.Equal("sandbox\ndaemon\n1\n/usr\nimage spec spec a b call\n", await ReadTextAsync(process));
    }

    [SkippableTheory]
    [InlineData("user", ProcessStartStep.User, SandboxErrorCode.InvalidRequest)]
    [InlineData("directory", ProcessStartStep.WorkingDirectory, SandboxErrorCode.NotFound)]
    [InlineData("program", ProcessStartStep.Program, SandboxErrorCode.NotFound)]
    [InlineData("limit", ProcessStartStep.Fork, SandboxErrorCode.LimitReached)]
    public async Task Start_ThatFails_SaysAtWhichStep(string what, ProcessStartStep step, SandboxErrorCode code)
    {
        await using Sandbox small = await Fixture.HostWithImage.CreateAsync(new SandboxSpec { PidsMax = 8 }, Deadline());
        if (what == "limit")
        {
            await small.StartAsync("for i in 1 2 3 4 5 6 7; do sleep 1000 & done; wait", cancellationToken: Deadline());
            await ExecTests.UntilAsync(async () => (await small.GetUsageAsync(Deadline())).Processes == 8);
        }

        string[] argv = what == "program" ? ["/no/such/program"] : ["true"];
        var options = new StartOptions
        {
            User = what == "user" ? "nobody-here" : null,
            WorkingDirectory = what == "directory" ? "/no/such/directory" : null,
        };
        var exec = new ExecOptions { User = options.User, WorkingDirectory = options.WorkingDirectory };

        SandboxOperationException started = await Assert.ThrowsAsync<SandboxOperationException>(() => small.StartAsync(argv, options, Deadline()));
        SandboxOperationException executed = await Assert.ThrowsAsync<SandboxOperationException>(() => small.ExecAsync(argv, exec, Deadline()));

        Assert.Equal(step, started.FailedStep);
        Assert.Equal(step, executed.FailedStep);
        Assert.Equal(code, started.Code);
    }

    [SkippableFact]
    public async Task Start_Timeout_KillsTheTreeAndSaysSo()
    {
        await using SandboxProcess process = await Sandbox.StartAsync(
            "(setsid sleep 1001) & sleep 1001", new StartOptions { Timeout = TimeSpan.FromMilliseconds(500) }, Deadline());
        SandboxProcessExit exit = await process.WaitAsync(Deadline());

        Assert.True(exit.TimedOut);
        Assert.Equal(137, exit.ExitCode);
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1001") == "0\n");
    }

    [SkippableTheory]
    [InlineData("cpu", "while :; do :; done", 24)] // SIGXCPU
    [InlineData("memory", "exec python3 -c 'bytearray(300 << 20)'", null)]
    [InlineData("file", "exec head -c 20000 /dev/zero >/tmp/limited", 25)] // SIGXFSZ
    [InlineData("files", "ulimit -n; exec python3 -c 'x=[open(\"/dev/null\") for i in range(100)]'", null)]
    public async Task Start_ResourceLimits_Hold(string what, string script, int? signal)
    {
        var limits = new ProcessLimits
        {
            CpuTime = what == "cpu" ? TimeSpan.FromSeconds(1) : null,
            AddressSpaceBytes = what == "memory" ? 200 << 20 : null,
            FileSizeBytes = what == "file" ? 10_000 : null,
            OpenFiles = what == "files" ? 50 : null,
        };
        await using SandboxProcess process = await Sandbox.StartAsync(["sh", "-c", script], new StartOptions { Limits = limits }, Deadline());
        (string output, string error) = await ReadBothAsync(process);
        SandboxProcessExit exit = await process.WaitAsync(Deadline());

        Assert.Equal(signal, exit.Signal);
        Assert.NotEqual(0, exit.ExitCode);
        switch (what)
        {
            case "memory":
                Assert.Contains("MemoryError", error, StringComparison.Ordinal);
                break;
            case "file":
                Assert.Equal(10_000, (await Sandbox.Files.StatAsync("/tmp/limited", Deadline())).Size);
                break;
            case "files":
                Assert.Equal("50\n", output);
                Assert.Contains("Too many open files", error, StringComparison.Ordinal);
                break;
        }
    }

    [SkippableFact]
    public async Task Dispose_OfAnAttachedProcess_KillsWhatForkedTwice()
    {
        SandboxProcess process = await Sandbox.StartAsync(
            "setsid sh -c 'setsid sleep 1002 & setsid nohup sleep 1002 >/dev/null 2>&1 &' & sleep 0.2; echo ready; sleep 1002", cancellationToken: Deadline());
        Assert.Equal("ready\n", await ReadLineAsync(process));
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1002") == "3\n"); // it is started a moment later

        await process.DisposeAsync();

        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1002") == "0\n");
    }

    [SkippableFact]
    public async Task Dispose_AfterTheEnd_KillsWhatIsLeft()
    {
        SandboxProcess process = await Sandbox.StartAsync("setsid nohup sleep 1007 >/dev/null 2>&1 & sleep 0.1; echo x", cancellationToken: Deadline());
        Assert.Equal("x\n", await ReadTextAsync(process));
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1007") == "1\n"); // it is started a moment later

        await process.DisposeAsync();

        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1007") == "0\n");
    }

    [SkippableFact]
    public async Task Kill_AfterTheEnd_KillsWhatIsLeft()
    {
        await using SandboxProcess process = await Sandbox.StartAsync(
            "setsid nohup sleep 1003 >/dev/null 2>&1 & exit 0", new StartOptions { Detached = true }, Deadline());
        SandboxProcessExit exit = await process.WaitAsync(Deadline());

        Assert.True(exit.LeftProcesses);
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1003") == "1\n"); // it is started a moment later
        Assert.True(await process.KillAsync(Deadline()));
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1003") == "0\n");
        Assert.False(await process.KillAsync(Deadline()));
        Assert.False(await process.SignalAsync(15, Deadline()));
    }

    [SkippableFact]
    public async Task Start_BackgroundChildHoldsTheOutput_EndsWithItsProcess()
    {
        await using SandboxProcess process = await Sandbox.StartAsync("sleep 1004 & echo started", cancellationToken: Deadline());

        Assert.Equal("started\n", await ReadTextAsync(process));
        Assert.True((await process.WaitAsync(Deadline(20))).OutputCut);
        await process.DisposeAsync();
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1004") == "0\n");
    }

    [SkippableFact]
    public async Task List_RunningEndedAndCommands_AreThere()
    {
        await using SandboxProcess running = await Sandbox.StartAsync(
            ["sleep", "1005"], new StartOptions { User = "root", Detached = true }, Deadline());
        await using SandboxProcess ended = await Sandbox.StartAsync("echo x; exit 7", cancellationToken: Deadline());
        await ended.WaitAsync(Deadline());
        using var stop = new CancellationTokenSource();
        Task<ExecResult> command = Sandbox.ExecAsync(["sleep", "1006"], cancellationToken: stop.Token);
        IReadOnlyList<SandboxProcessInfo> all = [];
        await ExecTests.UntilAsync(async () =>
            (all = await Sandbox.Processes.ListAsync(Deadline())).Any(static p => p.Command.SequenceEqual(["sleep", "1006"])));

        SandboxProcessInfo first = all.Single(p => p.Id == running.Id);
        Assert.Equal(["sleep", "1005"], first.Command);
        Assert.Equal("root", first.User);
        Assert.Equal(running.Pid, first.Pid);
        Assert.True(first is { IsRunning: true, IsManaged: true, IsDetached: true, HasTerminal: false, MemoryBytes: > 0, CpuTime.Ticks: > 0 });
        Assert.InRange(first.StartedAt, DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddMinutes(1));
        SandboxProcessInfo second = all.Single(p => p.Id == ended.Id);
        Assert.Equal(7, second.Exit?.ExitCode);
        Assert.Equal(2, second.OutputEnd);
        SandboxProcessInfo third = all.Single(static p => p.Command[^1] == "1006");
        Assert.True(third is { IsRunning: true, IsManaged: false, User: "sandbox" });
        await Assert.ThrowsAsync<SandboxOperationException>(() => Sandbox.Processes.AttachAsync(third.Id, cancellationToken: Deadline()));

        Assert.True(await Sandbox.Processes.KillAsync(third.Id, Deadline()));
        Assert.Equal(9, (await command).Exit.Signal);
        Assert.True(await Sandbox.Processes.SignalAsync(running.Id, 15, Deadline()));
        Assert.Equal(15, (await running.WaitAsync(Deadline())).Signal);
    }

    [SkippableFact]
    public async Task UnknownProcess_IsNotFound()
    {
        foreach (Func<Task> call in new Func<Task>[]
        {
            () => Sandbox.Processes.AttachAsync("fffffff0", cancellationToken: Deadline()),
            () => Sandbox.Processes.WaitAsync("fffffff0", Deadline()),
            () => Sandbox.Processes.KillAsync("fffffff0", Deadline()),
            () => Sandbox.Processes.ReadLogAsync("fffffff0", cancellationToken: Deadline()),
            () => Sandbox.Processes.ResizeTerminalAsync("fffffff0", 1, 1, Deadline()),
        })
        {
            Assert.Equal(SandboxErrorCode.NotFound, (await Assert.ThrowsAsync<SandboxOperationException>(call)).Code);
        }

        await Assert.ThrowsAsync<ArgumentException>(() => Sandbox.Processes.KillAsync("nonsense", Deadline()));
    }

    [SkippableFact]
    public async Task Ended_MoreThan64_TheOldestAreForgotten()
    {
        await using Sandbox sandbox = await Fixture.HostWithImage.CreateAsync(cancellationToken: Deadline());
        var ids = new List<string>();
        for (int i = 0; i < 70; i++)
        {
            await using SandboxProcess process = await sandbox.StartAsync(["true"], cancellationToken: Deadline());
            await process.WaitAsync(Deadline());
            ids.Add(process.Id);
        }

        await ExecTests.UntilAsync(async () => (await sandbox.Processes.ListAsync(Deadline())).Count == 64);
        Assert.Equal(ids[6..], (await sandbox.Processes.ListAsync(Deadline())).Select(static p => p.Id));
        Assert.Equal(0, (await sandbox.Processes.WaitAsync(ids[^1], Deadline())).ExitCode);
    }
}
