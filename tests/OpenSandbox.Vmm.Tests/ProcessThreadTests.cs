using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Tests;

public sealed class ProcessThreadTests
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData("exit 0", 0, null)]
    [InlineData("exit 7", 7, null)]
    [InlineData("kill -9 $$", null, 9)]
    [InlineData("kill -TERM $$", null, 15)]
    public async Task StartAsync_ProcessEnds_ReportsHow(string script, int? exitCode, int? signal)
    {
        using var thread = new ProcessThread();
        (HostProcess process, _) = await StartShellAsync(thread, script);
        Assert.Equal(new HostProcessExit(exitCode, signal), await process.Exited.WaitAsync(s_limit));
    }

    [Fact]
    public async Task StartAsync_ManyAtOnce_AllAreReaped()
    {
        using var thread = new ProcessThread();
        HostProcessExit[] exits = await Task.WhenAll(Enumerable.Range(0, 50).Select(async i =>
        {
            (HostProcess process, _) = await StartShellAsync(thread, $"exit {i}");
            return await process.Exited.WaitAsync(s_limit);
        }));

        Assert.Equal(Enumerable.Range(0, 50), exits.Select(static exit => exit.ExitCode!.Value));
    }

    [Fact]
    public async Task StartAsync_GivenDescriptors_ChildHasExactlyTheseInOrder()
    {
        using var thread = new ProcessThread();
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory.File("three"), "content of three");
        using SafeFileHandle three = File.OpenHandle(directory.File("three"));
        (HostProcess process, string output) = await StartShellAsync(thread, "cat <&3; echo; env | grep -v ^_= | sort; cat /proc/self/stat | cut -d' ' -f1 >/dev/null; ls /proc/self/fd | tr '\\n' ' '", three);
        await process.Exited.WaitAsync(s_limit);

        Assert.StartsWith("content of three\n", output, StringComparison.Ordinal);
        Assert.DoesNotContain("HOME=", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task StartAsync_NoSuchProgram_SaysWhich()
    {
        using var thread = new ProcessThread();
        using SafeFileHandle nothing = File.OpenHandle("/dev/null");

        IOException failure = await Assert.ThrowsAnyAsync<IOException>(
            () => thread.StartAsync(new HostProcessStart("/nonexistent/program", ["program"], [nothing])).WaitAsync(s_limit));

        Assert.Contains("/nonexistent/program", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Signal_AfterTheEnd_IsNoError()
    {
        using var thread = new ProcessThread();
        (HostProcess process, _) = await StartShellAsync(thread, "exit 0");
        await process.Exited.WaitAsync(s_limit);

        process.Signal(9);
    }

    [Fact]
    public async Task BoundedOutput_Flood_KeepsTheEndAndNeverBlocksTheWriter()
    {
        using var thread = new ProcessThread();
        (Socket ours, SafeFileHandle theirs) = SocketPairs.Create();
        await using var output = new BoundedOutput(ours, 1_000);
        HostProcess process;
        using (SafeFileHandle nothing = File.OpenHandle("/dev/null"))
        {
            process = await thread.StartAsync(new HostProcessStart(
                "/bin/sh", ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; printf 'the \\033[31mend\\n'"], [nothing, theirs, theirs]));
        }

        theirs.Dispose();
        await output.Ended.WaitAsync(s_limit);

        string tail = output.Tail();
        Assert.EndsWith("line 19999\nthe .[31mend", tail, StringComparison.Ordinal);
        Assert.True(tail.Length <= 1_000);
    }

    private static async Task<(HostProcess Process, string Output)> StartShellAsync(
        ProcessThread thread, string script, params SafeFileHandle[] more)
    {
        (Socket ours, SafeFileHandle theirs) = SocketPairs.Create();
        await using var output = new BoundedOutput(ours, 65_536);
        using SafeFileHandle nothing = File.OpenHandle("/dev/null");
        HostProcess process = await thread
            .StartAsync(new HostProcessStart("/bin/sh", ["sh", "-c", script], [nothing, theirs, theirs, .. more]))
            .WaitAsync(s_limit);
        theirs.Dispose();
        await output.Ended.WaitAsync(s_limit);
        return (process, output.Tail());
    }
}
