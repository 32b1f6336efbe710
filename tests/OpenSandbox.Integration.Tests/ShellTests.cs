using System.Text;

namespace OpenSandbox.Integration.Tests;

/// <summary>Shell sessions.</summary>
[Collection(HostFixture.Collection)]
public sealed class ShellTests(HostFixture fixture) : SandboxTests(fixture)
{
    [SkippableFact]
    public async Task Run_DirectoryVariablesAndFunctions_Persist()
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        await shell.RunAsync("cd /usr; export EXPORTED='a  b'; plain=1; declare -A map=([k]=v); f() { echo \"f $1\"; }", cancellationToken: Deadline());
        ShellResult result = await shell.RunAsync("pwd; sh -c 'echo \"$EXPORTED\"'; echo $plain ${map[k]}; f x", cancellationToken: Deadline());

        Assert.Equal("/usr\na  b\n1 v\nf x\n", result.StandardOutput);
        Assert.Equal(0, result.ExitCode);
        Assert.False(result.ShellEnded);
    }

    [SkippableFact]
    public async Task Run_ExitCodesAndBothOutputs_AreTheRunsOwn()
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        for (int i = 0; i < 20; i++)
        {
            ShellResult result = await shell.RunAsync($"echo out{i}; echo err{i} >&2; (exit {i})", cancellationToken: Deadline());
            Assert.Equal((i, $"out{i}\n", $"err{i}\n"), (result.ExitCode, result.StandardOutput, result.StandardError));
        }

        Assert.Equal(127, (await shell.RunAsync("no-such-command", cancellationToken: Deadline())).ExitCode);
        ShellResult syntax = await shell.RunAsync("if then (", cancellationToken: Deadline());
        Assert.NotEqual(0, syntax.ExitCode);
        Assert.NotEqual("", syntax.StandardError);
        Assert.Equal(143, (await shell.RunAsync("sh -c 'kill $$'", cancellationToken: Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task Run_LinesOfEveryKind_AreEvaluated()
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        ShellResult result = await shell.RunAsync("""
            for i in 1 2; do
              echo "it's $i" # comment
            done
            cat <<'END'
            here 'doc'
            END
            echo 'ä€😀' \
              continued
            """, cancellationToken: Deadline());

        Assert.Equal("it's 1\nit's 2\nhere 'doc'\nä€😀 continued\n", result.StandardOutput);
        Assert.Equal("", (await shell.RunAsync("", cancellationToken: Deadline())).StandardOutput);
        string large = new('x', 200_000);
        Assert.Equal(large + "\n", (await shell.RunAsync("echo " + large, cancellationToken: Deadline())).StandardOutput);
    }

    [SkippableFact]
    public async Task Run_OutputWithoutNewlineAndMarkerLikeOutput_IsJustOutput()
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        ShellResult result = await shell.RunAsync(
            "printf 'no newline'; echo '0123456789abcdef0123456789abcdef 0' >&2; echo fake 0 >&3", cancellationToken: Deadline());

        Assert.Equal("no newline", result.StandardOutput);
        Assert.StartsWith("0123456789abcdef0123456789abcdef 0\n", result.StandardError, StringComparison.Ordinal);
        Assert.Contains("3: Bad file descriptor", result.StandardError, StringComparison.Ordinal);
        Assert.Equal("next\n", (await shell.RunAsync("echo next", cancellationToken: Deadline())).StandardOutput);
    }

    [SkippableFact]
    public async Task Run_LargeOutputs_AreCompleteWhenTheRunEnds()
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        for (int i = 0; i < 3; i++)
        {
            ShellResult result = await shell.RunAsync("head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2", cancellationToken: Deadline());
            Assert.Equal((3_000_000, 2_000_000), (result.StandardOutputBytes.Length, result.StandardErrorBytes.Length));
        }

        ShellResult cut = await shell.RunAsync("head -c 3000000 /dev/zero", new ShellRunOptions { MaxOutputBytes = 1_000 }, Deadline());
        Assert.Equal((1_000, true), (cut.StandardOutputBytes.Length, cut.Truncated));
    }

    [SkippableFact]
    public async Task Run_Streamed_ComesAsItIsWritten()
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        var pieces = new StringBuilder();
        var first = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task<ShellResult> running = shell.RunAsync("echo one; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo two >&2", new ShellRunOptions
        {
            OnOutput = (kind, bytes) =>
            {
                pieces.Append(kind).Append(':').Append(Encoding.UTF8.GetString(bytes.Span));
                first.TrySetResult();
                return ValueTask.CompletedTask;
            },
        }, Deadline());
        await first.Task.WaitAsync(Deadline(30));
        await Sandbox.Files.WriteTextAsync("/tmp/go", "", cancellationToken: Deadline());
        ShellResult result = await running;

        Assert.Equal("StandardOutput:one\nStandardError:two\n", pieces.ToString());
        Assert.Equal("", result.StandardOutput);
    }

    [SkippableFact]
    public async Task Run_Input_IsTheRunsOwnOrNone()
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        byte[] input = new byte[1_000_000];
        new Random(7).NextBytes(input);
        ShellResult given = await shell.RunAsync("cat", new ShellRunOptions { StandardInput = input }, Deadline());
        ShellResult none = await shell.RunAsync("cat; readlink /proc/self/fd/0; ls /tmp/.osb* 2>/dev/null", cancellationToken: Deadline());

        Assert.Equal(input, given.StandardOutputBytes.ToArray());
        Assert.Equal("/dev/null\n", none.StandardOutput);
    }

    [SkippableFact]
    public async Task Run_AtTheSameTime_TakeTurns()
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        await shell.RunAsync("n=0", cancellationToken: Deadline());
        ShellResult[] results = await Task.WhenAll(Enumerable.Range(0, 20).Select(
            _ => shell.RunAsync("n=$((n+1)); sleep 0.0$((RANDOM % 5)); echo $n", cancellationToken: Deadline())));

        Assert.Equal(
            Enumerable.Range(1, 20).Select(static i => $"{i}\n").Order(StringComparer.Ordinal),
            results.Select(static r => r.StandardOutput).Order(StringComparer.Ordinal));
    }

    [SkippableTheory]
    [InlineData("exit 3", 3)]
    [InlineData("set -e; false; echo not reached", 1)]
    [InlineData("kill -9 $$", 137)]
    [InlineData("exec sh -c 'exit 4'", 4)]
    public async Task Run_ThatEndsTheShell_SaysSo(string line, int exitCode)
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        ShellResult result = await shell.RunAsync("echo last; " + line, cancellationToken: Deadline());

        Assert.True(result.ShellEnded);
        Assert.Equal(exitCode, result.ExitCode);
        Assert.Equal("last\n", result.StandardOutput);
        Assert.Equal(exitCode, shell.Exit?.ExitCode);
        await Assert.ThrowsAsync<InvalidOperationException>(() => shell.RunAsync("true", cancellationToken: Deadline()));
    }

    [SkippableTheory]
    [InlineData("while :; do sleep 0.1; done; touch /tmp/went-on")]
    [InlineData("while :; do :; done")]
    [InlineData("sleep 1020; touch /tmp/went-on")]
    [InlineData("trap '' TERM INT; (setsid sh -c \"trap '' TERM; sleep 1020\") & sleep 1020; touch /tmp/went-on")]
    public async Task Run_Timeout_KillsTheRunAndKeepsTheState(string line)
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        await shell.RunAsync(
            "cd /usr; export E=\"it's\"; p='x\ny'; f() { echo f; }; alias ll=ls; set -u; readonly r=5; a=(1 '2 3'); sleep 1021 & while :; do sleep 0.2; echo alive >>/tmp/loop; done & true",
            cancellationToken: Deadline());
        ShellResult result = await shell.RunAsync("echo before; E=changed; cd /; " + line, new ShellRunOptions { Timeout = TimeSpan.FromMilliseconds(1_500) }, Deadline());
        ShellResult after = await shell.RunAsync("pwd; echo \"$E|$p|$r|${a[1]}\"; f; echo $-", cancellationToken: Deadline());

        Assert.True(result.TimedOut);
        Assert.Equal(137, result.ExitCode);
        Assert.False(result.ShellEnded);
        Assert.Equal("before\n", result.StandardOutput);
        Assert.StartsWith("/usr\nit's|x\ny|5|2 3\nf\n", after.StandardOutput, StringComparison.Ordinal);
        Assert.Contains('u', after.StandardOutput.Split('\n')[^2]);
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1020") == "0\n"); // killed, but it may take a moment to be gone
        Assert.Equal("1\n", await CountAsync("sleep 1021"));
        long lines = (await Sandbox.Files.StatAsync("/tmp/loop", Deadline())).Size;
        await ExecTests.UntilAsync(async () => (await Sandbox.Files.StatAsync("/tmp/loop", Deadline())).Size > lines); // a job of an earlier run goes on
        Assert.False(await Sandbox.Files.ExistsAsync("/tmp/went-on", Deadline()));
    }

    [SkippableFact]
    public async Task Run_Cancelled_KeepsTheShell()
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        await shell.RunAsync("cd /usr", cancellationToken: Deadline());
        using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(500));

        OperationCanceledException cancelled = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => shell.RunAsync("sleep 1022", cancellationToken: cancel.Token));

        Assert.Equal(cancel.Token, cancelled.CancellationToken);
        Assert.Equal("/usr\n", (await shell.RunAsync("pwd", cancellationToken: Deadline())).StandardOutput);
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1022") == "0\n");
    }

    [SkippableFact]
    public async Task Run_NoisyOnesTimeOut_TheirShellsEndAndBackgroundJobsGoOn()
    {
        SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        await shell.RunAsync("sleep 1024 & sleep 1025 >/dev/null 2>&1 & sleep 0.3", cancellationToken: Deadline());
        for (int i = 0; i < 3; i++)
        {
            ShellResult noisy = await shell.RunAsync("yes", new ShellRunOptions { Timeout = TimeSpan.FromMilliseconds(400), MaxOutputBytes = 100 }, Deadline());
            Assert.Equal((true, false), (noisy.TimedOut, noisy.ShellEnded));
        }

        // A shell whose output nobody reads does not end: the guest keeps it for its lossless reader.
        await ExecTests.UntilAsync(async () => (await Sandbox.Processes.ListAsync(Deadline())).Count(static p => p.IsManaged && p.IsRunning) == 1);
        Assert.Equal("1\n1\n", await CountAsync("sleep 1024") + await CountAsync("sleep 1025"));
        Assert.Equal("here\n", (await shell.RunAsync("echo here", cancellationToken: Deadline())).StandardOutput);

        await shell.DisposeAsync();

        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1024") + await CountAsync("sleep 1025") == "0\n0\n");
    }

    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Run_CallersCodeThrowsWhatTheShellCouldThrow_EndsTheRunOnly(bool disposed)
    {
        Exception thrown = disposed
            ? new ObjectDisposedException("the caller's own")
            : await Assert.ThrowsAsync<SandboxOperationException>(() => Sandbox.Processes.KillAsync("00000000", Deadline()));
        await using SandboxShell shell = await Sandbox.OpenShellAsync(cancellationToken: Deadline());
        await shell.RunAsync("cd /usr", cancellationToken: Deadline());
        Exception? failure = await Record.ExceptionAsync(() => shell.RunAsync(
            "echo first; sleep 0.5; echo second; sleep 1026", new ShellRunOptions { OnOutput = (_, _) => throw thrown }, Deadline()));

        Assert.Same(thrown, failure);
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1026") == "0\n"); // killed, but it may take a moment to be gone
        Assert.Equal("/usr\n", (await shell.RunAsync("pwd", cancellationToken: Deadline())).StandardOutput);
    }

    [SkippableFact]
    public async Task Run_BackgroundJobReadsTheOutputPipe_StillEnds()
    {
        await using SandboxShell shell = await Sandbox.OpenShellAsync(new ShellOptions { User = "root" }, Deadline());
        await shell.RunAsync("cat </proc/self/fd/1 3>&1 >/dev/null & sleep 0.2", cancellationToken: Deadline());
        for (int i = 0; i < 20; i++)
        {
            ShellResult result = await shell.RunAsync($"head -c 300000 /dev/zero; (exit {i})", cancellationToken: Deadline(30));
            Assert.Equal(i, result.ExitCode);
        }
    }

    [SkippableFact]
    public async Task Dispose_EndsEverythingOfTheSession()
    {
        SandboxShell shell = await Sandbox.OpenShellAsync(new ShellOptions { User = "root", WorkingDirectory = "/" }, Deadline());
        Assert.Equal("root\n/\n", (await shell.RunAsync("id -un; pwd; sleep 1023 & sleep 0.1", cancellationToken: Deadline())).StandardOutput);
        await shell.RunAsync("sleep 1023", new ShellRunOptions { Timeout = TimeSpan.FromMilliseconds(300) }, Deadline());
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1023") == "1\n"); // the other one has been killed

        await shell.DisposeAsync();

        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1023") == "0\n");
        await Assert.ThrowsAsync<ObjectDisposedException>(() => shell.RunAsync("true", cancellationToken: Deadline()));
    }
}
