using System.Security.Cryptography;
using System.Text;

namespace OpenSandbox.Integration.Tests;

[Collection(HostFixture.Collection)]
public sealed class ExecTests(HostFixture fixture) : IAsyncLifetime
{
    private Sandbox? _sandbox;

    private Sandbox Sandbox => _sandbox!;

    public async Task InitializeAsync()
    {
        if (HostFixture.MissingPrerequisite is null && fixture.Host.Images.List().Count >= 2)
        {
            _sandbox = await fixture.Host.CreateAsync(new SandboxSpec { EnvironmentVariables = new Dictionary<string, string> { ["FROM_SPEC"] = "spec", ["BOTH"] = "spec" } });
        }
    }

    public async Task DisposeAsync()
    {
        if (_sandbox is not null)
        {
            await _sandbox.DisposeAsync();
        }
    }

    [SkippableFact]
    public async Task Exec_Python_PrintsTheAnswer()
    {
        _ = fixture.HostWithImage;
        ExecResult result = await Sandbox.ExecAsync(["python3", "-c", "print(6*7)"], cancellationToken: Deadline());

        Assert.Equal("42\n", result.StandardOutput);
        Assert.Equal("", result.StandardError);
        Assert.Equal(0, result.ExitCode);
        Assert.True(result.Exit.WallTime > TimeSpan.Zero);
    }

    [SkippableTheory]
    [InlineData("exit 0", 0, null)]
    [InlineData("exit 3", 3, null)]
    [InlineData("exit 255", 255, null)]
    [InlineData("kill -9 $$", 137, 9)]
    [InlineData("kill -SEGV $$", 139, 11)]
    public async Task Exec_CommandEnds_ReportsHow(string script, int exitCode, int? signal)
    {
        _ = fixture.HostWithImage;
        ExecResult result = await Sandbox.ExecAsync(["sh", "-c", script], cancellationToken: Deadline());

        Assert.Equal(exitCode, result.ExitCode);
        Assert.Equal(signal, result.Exit.Signal);
    }

    [SkippableFact]
    public async Task Exec_Defaults_UserWorkspaceAndEnvironment()
    {
        _ = fixture.HostWithImage;
        ExecResult result = await Sandbox.ExecAsync(
            ["sh", "-c", "id -un; id -u; pwd; echo $FROM_SPEC $BOTH $FROM_CALL; echo $HOME; readlink /proc/self/fd/0"],
            new ExecOptions { EnvironmentVariables = new Dictionary<string, string> { ["BOTH"] = "call", ["FROM_CALL"] = "a b\n'\"" } },
            Deadline());

        Assert.Equal("sandbox\n1000\n/workspace\nspec call a b '\"\n/home/sandbox\n/dev/null\n", result.StandardOutput);
    }

    [SkippableFact]
    public async Task Exec_ChosenUserAndDirectory_AreUsed()
    {
        _ = fixture.HostWithImage;
        ExecResult root = await Sandbox.ExecAsync(
            ["sh", "-c", "id -u; pwd"], new ExecOptions { User = "root", WorkingDirectory = "/usr/bin" }, Deadline());
        ExecResult numeric = await Sandbox.ExecAsync(["id"], new ExecOptions { User = "1234:4321" }, Deadline());

        Assert.Equal("0\n/usr/bin\n", root.StandardOutput);
        Assert.StartsWith("uid=1234 gid=4321", numeric.StandardOutput, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Exec_ArgumentsOfEveryKind_ArriveExactly()
    {
        _ = fixture.HostWithImage;
        string[] arguments = ["", " ", "a b", "'\"$`\\", "line\nline", "-n", "--", "ä€😀", new('x', 100_000)];

        ExecResult result = await Sandbox.ExecAsync(
            ["python3", "-c", "import sys; sys.stdout.write('\\0'.join(sys.argv[1:]))", .. arguments], cancellationToken: Deadline());

        Assert.Equal(arguments, result.StandardOutput.Split('\0'));
    }

    [SkippableTheory]
    [InlineData("/no/such/program", SandboxErrorCode.NotFound)]
    [InlineData("no-such-program", SandboxErrorCode.NotFound)]
    [InlineData("/etc", SandboxErrorCode.PermissionDenied)]
    [InlineData("/etc/passwd", SandboxErrorCode.PermissionDenied)]
    public async Task Exec_ProgramThatCannotStart_SaysWhy(string program, SandboxErrorCode code)
    {
        _ = fixture.HostWithImage;
        SandboxOperationException failure = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Sandbox.ExecAsync([program], cancellationToken: Deadline()));

        Assert.Equal(code, failure.Code);
        Assert.NotEqual(0, failure.Errno);
        Assert.Contains(program, failure.Message, StringComparison.Ordinal);
        await Sandbox.PingAsync(Deadline());
    }

    [SkippableFact]
    public async Task Exec_UnknownUserOrDirectory_SaysWhich()
    {
        _ = fixture.HostWithImage;
        SandboxOperationException user = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Sandbox.ExecAsync(["true"], new ExecOptions { User = "nobody-here" }, Deadline()));
        SandboxOperationException directory = await Assert.ThrowsAsync<SandboxOperationException>(
            () => Sandbox.ExecAsync(["true"], new ExecOptions { WorkingDirectory = "/no/such/dir" }, Deadline()));

        Assert.Equal(SandboxErrorCode.InvalidRequest, user.Code);
        Assert.Contains("nobody-here", user.Message, StringComparison.Ordinal);
        Assert.Contains("/no/such/dir", directory.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Exec_StandardInput10MiB_ComesBackExactly()
    {
        _ = fixture.HostWithImage;
        byte[] input = new byte[10 << 20];
        new Random(1).NextBytes(input);

        ExecResult result = await Sandbox.ExecAsync(["cat"], new ExecOptions { StandardInput = input }, Deadline());

        Assert.False(result.Truncated);
        Assert.Equal(SHA256.HashData(input), SHA256.HashData(result.StandardOutputBytes.Span));
    }

    [SkippableFact]
    public async Task Exec_CommandThatDoesNotReadItsInput_StillEnds()
    {
        _ = fixture.HostWithImage;
        ExecResult result = await Sandbox.ExecAsync(
            ["sh", "-c", "exec <&-; echo done"], new ExecOptions { StandardInput = new byte[5 << 20] }, Deadline());

        Assert.Equal("done\n", result.StandardOutput);
    }

    [SkippableFact]
    public async Task Exec_BothOutputs_AreKeptApart()
    {
        _ = fixture.HostWithImage;
        ExecResult result = await Sandbox.ExecAsync(
            ["sh", "-c", "i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done"], cancellationToken: Deadline());

        string[] expected = [.. Enumerable.Range(0, 500).Select(static i => $"{i}")];
        Assert.Equal(expected.Select(static i => $"out {i}"), result.StandardOutput.TrimEnd('\n').Split('\n'));
        Assert.Equal(expected.Select(static i => $"err {i}"), result.StandardError.TrimEnd('\n').Split('\n'));
    }

    [SkippableFact]
    public async Task Exec_300MBOfBinaryOutput_IsExact()
    {
        _ = fixture.HostWithImage;
        const long length = 300_000_000;
        await using SandboxProcess process = await Sandbox.StartAsync(
            ["sh", "-c", $"openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 </dev/zero 2>/dev/null | head -c {length} || true"], cancellationToken: Deadline());
        await process.CompleteInputAsync(Deadline());
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[262_144];
        long total = 0;
        SandboxOutput piece;
        while ((piece = await process.ReadAsync(buffer, Deadline())).Count > 0)
        {
            Assert.False(piece.IsError);
            hash.AppendData(buffer, 0, piece.Count);
            total += piece.Count;
        }

        Assert.Equal(0, (await process.WaitAsync(Deadline())).ExitCode);
        Assert.Equal(length, total);
        Assert.Equal(ExpectedKeystream(length), Convert.ToHexString(hash.GetHashAndReset()));
    }

    [SkippableFact]
    public async Task Exec_OutputBeyondTheLimit_IsCutAndSaidSo()
    {
        _ = fixture.HostWithImage;
        ExecResult result = await Sandbox.ExecAsync(
            ["sh", "-c", "head -c 5000000 /dev/zero; echo end >&2"], new ExecOptions { MaxOutputBytes = 1_000 }, Deadline());

        Assert.True(result.Truncated);
        Assert.Equal(1_000, result.StandardOutputBytes.Length);
        Assert.Equal("end\n", result.StandardError);
        Assert.Equal(0, result.ExitCode);
    }

    [SkippableFact]
    public async Task Exec_Timeout_KillsTheWholeTree()
    {
        _ = fixture.HostWithImage;
        ExecResult result = await Sandbox.ExecAsync(
            ["sh", "-c", "trap '' TERM INT HUP; (setsid sh -c 'trap \"\" TERM; sleep 1000.25') & sleep 1000.25"],
            new ExecOptions { Timeout = TimeSpan.FromMilliseconds(700) },
            Deadline());

        Assert.True(result.Exit.TimedOut);
        Assert.Equal(137, result.ExitCode);
        Assert.Equal("0\n", await CountAsync("sleep 1000.25"));
    }

    [SkippableFact]
    public async Task Exec_Cancelled_KillsTheWholeTree()
    {
        _ = fixture.HostWithImage;
        using var cancel = new CancellationTokenSource();
        Task<ExecResult> running = Sandbox.ExecAsync(["sh", "-c", "sleep 1000.5 & sleep 1000.5"], cancellationToken: cancel.Token);
        await UntilAsync(async () => await CountAsync("sleep 1000.5") == "2\n");
        await cancel.CancelAsync();

        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        Assert.Equal(cancel.Token, cancelled.CancellationToken);
        await UntilAsync(async () => await CountAsync("sleep 1000.5") == "0\n");
    }

    [SkippableFact]
    public async Task Exec_BackgroundChildHoldsTheOutput_EndsWithItsProcess()
    {
        _ = fixture.HostWithImage;
        long started = TimeProvider.System.GetTimestamp();
        ExecResult result = await Sandbox.ExecAsync(["sh", "-c", "sleep 1000.75 & echo started"], cancellationToken: Deadline());

        Assert.Equal("started\n", result.StandardOutput);
        Assert.True(result.Exit.OutputCut);
        Assert.True(TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(20));
        Assert.Equal("1\n", await CountAsync("sleep 1000.75"));
        await Sandbox.ExecAsync(["pkill", "-f", "sleep 1000.7[5]"], cancellationToken: Deadline());
    }

    [SkippableFact]
    public async Task StartProcess_Conversation_GoesBackAndForth()
    {
        _ = fixture.HostWithImage;
        await using SandboxProcess process = await Sandbox.StartAsync(["python3", "-u", "-c", "for l in iter(input, 'stop'): print(l.upper())"], cancellationToken: Deadline());
        byte[] buffer = new byte[100];
        for (int i = 0; i < 20; i++)
        {
            Assert.True(await process.WriteAsync(Encoding.UTF8.GetBytes($"line {i}\n"), Deadline()));
            Assert.Equal($"LINE {i}\n", await ReadLineAsync());
        }

        await process.WriteAsync("stop\n"u8.ToArray(), Deadline());
        Assert.True((await process.ReadAsync(buffer, Deadline())).IsEnd);
        Assert.Equal(0, (await process.WaitAsync(Deadline())).ExitCode);
        Assert.False(await process.SignalAsync(15, Deadline()));

        async Task<string> ReadLineAsync()
        {
            string line = "";
            while (!line.EndsWith('\n'))
            {
                line += Encoding.UTF8.GetString(buffer.AsSpan(0, (await process.ReadAsync(buffer, Deadline())).Count));
            }

            return line;
        }
    }

    [SkippableFact]
    public async Task StartProcess_Signal_ReachesItAndKillEndsWhatIgnoresIt()
    {
        _ = fixture.HostWithImage;
        await using SandboxProcess process = await Sandbox.StartAsync(
            ["sh", "-c", "exec 2>/dev/null; trap 'echo got TERM' TERM; echo ready; while :; do sleep 0.05; done"], cancellationToken: Deadline());
        byte[] buffer = new byte[100];
        Assert.Equal("ready\n", Encoding.UTF8.GetString(buffer.AsSpan(0, (await process.ReadAsync(buffer, Deadline())).Count)));

        Assert.True(await process.SignalAsync(15, Deadline()));
        Assert.Equal("got TERM\n", Encoding.UTF8.GetString(buffer.AsSpan(0, (await process.ReadAsync(buffer, Deadline())).Count)));
        Assert.True(await process.KillAsync(Deadline()));
        Assert.Equal(9, (await process.WaitAsync(Deadline())).Signal);
    }

    [SkippableFact]
    public async Task Process_DisposedWhileItIsRead_EndsTheRead()
    {
        _ = fixture.HostWithImage;
        SandboxProcess process = await Sandbox.StartAsync(["sleep", "1000"], cancellationToken: Deadline());
        Task<SandboxOutput> reading = process.ReadAsync(new byte[10], Deadline()).AsTask();

        await process.DisposeAsync();

        Exception? failure = await Record.ExceptionAsync(() => reading.WaitAsync(TimeSpan.FromSeconds(10)));
        Assert.True(failure is null or ObjectDisposedException or SandboxOperationException, $"{failure}");
        await Assert.ThrowsAnyAsync<ObjectDisposedException>(async () => await process.ReadAsync(new byte[10], Deadline()));
        await Sandbox.PingAsync(Deadline());
    }

    [SkippableFact]
    public async Task Timeout_OfACommandAndOfTheCaller_AreToldApart()
    {
        _ = fixture.HostWithImage;
        using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(300));

        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => Sandbox.ExecAsync(["sleep", "1000"], new ExecOptions { Timeout = TimeSpan.FromMinutes(1) }, cancel.Token));

        Assert.Equal(cancel.Token, cancelled.CancellationToken);
        Assert.True((await Sandbox.ExecAsync(["sleep", "1000"], new ExecOptions { Timeout = TimeSpan.FromMilliseconds(300) }, Deadline())).Exit.TimedOut);
    }

    [SkippableFact]
    public async Task Exec_100AtOnce_AllAreRight()
    {
        _ = fixture.HostWithImage;
        string[] outputs = await Task.WhenAll(Enumerable.Range(0, 100).Select(async i =>
            (await Sandbox.ExecAsync(["echo", $"{i}"], cancellationToken: Deadline())).StandardOutput));

        Assert.Equal(Enumerable.Range(0, 100).Select(static i => $"{i}\n"), outputs);
    }

    internal static CancellationToken Deadline(int seconds = 120) => new CancellationTokenSource(TimeSpan.FromSeconds(seconds)).Token;

    /// <summary>Asks again until it is so; the deadline of the callee's own calls bounds it.</summary>
    internal static async Task UntilAsync(Func<Task<bool>> condition)
    {
        CancellationToken deadline = Deadline(120);
        while (!await condition())
        {
            deadline.ThrowIfCancellationRequested();
        }
    }

    private async Task<string> CountAsync(string commandLine) =>
        (await Sandbox.ExecAsync(["sh", "-c", $"pgrep -xfc '{commandLine}' || true"], cancellationToken: Deadline())).StandardOutput;

    /// <summary>SHA-256 of the AES-128-CTR keystream with key and counter 0, computed here.</summary>
    private static string ExpectedKeystream(long length)
    {
        using var aes = Aes.Create();
        aes.Key = new byte[16];
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] counters = new byte[1 << 20];
        byte[] stream = new byte[counters.Length];
        ulong counter = 0;
        for (long done = 0; done < length;)
        {
            for (int block = 0; block < counters.Length; block += 16)
            {
                System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(counters.AsSpan(block + 8), counter++);
            }

            aes.EncryptEcb(counters, stream, PaddingMode.None);
            int count = (int)Math.Min(stream.Length, length - done);
            hash.AppendData(stream, 0, count);
            done += count;
        }

        return Convert.ToHexString(hash.GetHashAndReset());
    }
}
