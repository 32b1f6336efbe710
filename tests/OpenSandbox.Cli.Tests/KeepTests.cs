using System.Text.Json;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Tests.Support;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Tests;

/// <summary>Sandboxes that outlive the command line that made them, with the built program and real sandboxes.</summary>
[Collection(Sandboxes.Name)]
public sealed class KeepTests(Sandboxes sandboxes)
{
    private const int SigInt = 2, SigKill = 9, SigTerm = 15;

    [SkippableFact]
    public async Task RunKeepDetach_CommandWithOutput_PrintsTheIdAsItsLastLineAndExitsAsTheCommand()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--keep", "--detach", "--", "sh", "-c", "echo line; printf unfinished; echo kept >/tmp/kept; exit 3");
        string[] lines = result.Text.Split('\n');
        Assert.Equal((3, "line", "unfinished", "", ""), (result.ExitCode, lines[0], lines[1], lines[3], result.Error));
        string id = lines[2];
        try
        {
            Assert.True(KeeperDirectory.IsId(id), id);
            Assert.Equal("kept\n", (await CliProcess.RunAsync("exec", id, "--", "cat", "/tmp/kept")).Text);
        }
        finally
        {
            Assert.Equal(0, (await CliProcess.RunAsync("rm", id)).ExitCode);
        }
    }

    [SkippableFact]
    public async Task RunKeepDetach_Json_IsOneObjectWithTheId()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--keep", "--detach", "--json", "--", "echo", "hi");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        using JsonDocument json = JsonDocument.Parse(result.Output);
        string id = json.RootElement.GetProperty("sandboxId").GetString()!;
        Assert.Equal("hi\n", json.RootElement.GetProperty("stdout").GetString());
        Assert.Equal(new CliEnd(0, ""), await EndAsync("rm", id));
    }

    [SkippableFact]
    public async Task RunKeepDetach_CommandCannotBeStarted_KeepsNothing()
    {
        sandboxes.Require();
        Dictionary<string, int> before = await Kept.ListAsync();
        CliResult result = await CliProcess.RunAsync("run", "--keep", "--detach", "--", "no-such-command");
        Assert.Equal((127, ""), (result.ExitCode, result.Text));
        Assert.Matches(@"\Aopensandbox: [^\n]*no-such-command[^\n]*\n\z", result.Error);
        Assert.Equal(before.Keys.Order(), (await Kept.ListAsync()).Keys.Order());
    }

    [SkippableFact]
    public async Task RunKeepDetach_NoSuchImage_SaysWhatRunSays()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--keep", "--detach", "--image", "no-such-image");
        Assert.Equal((125, ""), (result.ExitCode, result.Text));
        Assert.Matches(@"\Aopensandbox: there is no image 'no-such-image': [^\n]*default[^\n]*\n\z", result.Error);
        Assert.Empty(Directory.EnumerateFiles(Kept.RunDirectory, "keeper-*"));
    }

    [SkippableFact]
    public async Task RunKeepDetach_Terminated_TakesTheKeeperAlong()
    {
        sandboxes.Require();
        Dictionary<string, int> before = await Kept.ListAsync();
        using CliProcess cli = CliProcess.Start(null, "run", "--keep", "--detach", "--", "sh", "-c", "echo ready; exec sleep 1000");
        Assert.Equal("ready", await cli.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        cli.Signal(SigTerm);
        Assert.Equal(new CliEnd(143, ""), await cli.WaitAsync());
        Assert.Equal(before.Keys.Order(), (await Kept.ListAsync()).Keys.Order());
    }

    [SkippableFact]
    public async Task RunKeep_Foreground_IsReachedUntilItIsRemoved()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "run", "--keep", "--", "sh", "-c", "echo done >/tmp/x; echo over; exit 5");
        Assert.Equal("over", await cli.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        string id = Assert.Single(await Kept.ListAsync(), pair => pair.Value == cli.Id).Key;
        Assert.Equal("done\n", (await CliProcess.RunAsync("exec", id, "cat", "/tmp/x")).Text);
        Assert.Equal(new CliEnd(0, ""), await EndAsync("rm", id));
        CliEnd end = await cli.WaitAsync();
        Assert.Equal((5, $"opensandbox: sandbox {id} is kept until Ctrl-C, or 'opensandbox rm {id}'\n"), (end.ExitCode, end.Error));
    }

    [SkippableFact]
    public async Task RunKeep_CtrlCAfterTheCommand_EndsTheSandboxAndExitsAsTheCommandDid()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "run", "--keep", "--", "sh", "-c", "echo over; exit 5");
        Assert.Equal("over", await cli.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        IReadOnlyList<(int Pid, string Started, string Name)> children = cli.Descendants();
        string id = Assert.Single(await Kept.ListAsync(), pair => pair.Value == cli.Id).Key;

        // Its own waiting for the signal may not have begun: then the signal ends the command, whose exit code it would have been.
        cli.Signal(SigInt);
        Assert.Contains((await cli.WaitAsync()).ExitCode, (int[])[5, 130]);
        Assert.DoesNotContain(children, CliProcess.IsAlive);
        Assert.False(File.Exists(Path.Combine(Kept.RunDirectory, $"{id}.sock")));
    }

    [SkippableTheory]
    [InlineData(SigKill)]
    [InlineData(SigTerm)]
    public async Task Keeper_KilledOrTerminated_SandboxRunsOnAndTheNextVerbTakesItOver(int signal)
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        int keeper = (await Kept.ListAsync())[kept.Id];
        (int Pid, string Started, string Name) process = CliProcess.Describe(keeper);
        (int Pid, string Started, string Name) qemu = Assert.Single(
            CliProcess.DescendantsOf(keeper), static child => child.Name.StartsWith("qemu", StringComparison.Ordinal));
        Assert.Equal(0, (await kept.ExecAsync("sh", "-c", "echo kept >/dev/shm/file")).ExitCode);
        Assert.Equal(0, Libc.KillProcess(keeper, signal));
        await CliProcess.WaitForEndAsync([process]);
        Assert.True(CliProcess.IsAlive(qemu));
        Assert.Equal(0, (await Kept.ListAsync())[kept.Id]);
        Assert.Equal("running", await kept.StateAsync());

        CliResult exec = await kept.ExecAsync("cat", "/dev/shm/file");
        Assert.Equal((0, "kept\n", ""), (exec.ExitCode, exec.Text, exec.Error));
        Assert.NotEqual(0, (await Kept.ListAsync())[kept.Id]);
        Assert.Equal(new CliEnd(0, ""), await EndAsync("rm", kept.Id));
        Assert.False(CliProcess.IsAlive(qemu));
        Assert.Null(await kept.StateAsync());
    }

    [SkippableFact]
    public async Task Remove_KeeperIsGone_EndsTheSandbox()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        int keeper = (await Kept.ListAsync())[kept.Id];
        (int Pid, string Started, string Name)[] all = [.. CliProcess.DescendantsOf(keeper), CliProcess.Describe(keeper)];
        Assert.Equal(0, Libc.KillProcess(keeper, SigKill));
        Assert.Equal(new CliEnd(0, ""), await EndAsync("rm", kept.Id));
        Assert.DoesNotContain(all, CliProcess.IsAlive);
        Assert.Null(await kept.StateAsync());
        Assert.Empty(Directory.EnumerateFiles(Kept.RunDirectory, $"{kept.Id}*"));
    }

    [SkippableFact]
    public async Task Keeper_StartedFromAShell_IsInASessionOfItsOwnAndHoldsNothingOpen()
    {
        sandboxes.Require();

        // A command substitution ends when nobody holds its pipe any more; so does the shell's own output, which a careless child inherits.
        string program = Path.Combine(AppContext.BaseDirectory, "opensandbox.dll");
        string script = $"exec 7>&1; id=$(dotnet exec '{program}' run --keep --detach) && echo $id";
        using System.Diagnostics.Process shell = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("bash", ["-c", script])
        {
            RedirectStandardOutput = true,
        })!;
        string id = (await shell.StandardOutput.ReadToEndAsync().WaitAsync(CliProcess.Deadline)).TrimEnd();
        try
        {
            int keeper = (await Kept.ListAsync())[id];
            string[] stat = (await File.ReadAllTextAsync($"/proc/{keeper}/stat")).Split(") ")[1].Split(' ');
            Assert.Equal(keeper.ToString(System.Globalization.CultureInfo.InvariantCulture), stat[3]);
            Assert.Equal("0", stat[4]);
            Assert.Equal("/", new FileInfo($"/proc/{keeper}/cwd").LinkTarget);
        }
        finally
        {
            Assert.Equal(0, (await CliProcess.RunAsync("rm", id)).ExitCode);
        }
    }

    [SkippableFact]
    public async Task GuestEnds_KeepersLogSaysWhy()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        int keeper = (await Kept.ListAsync())[kept.Id];
        (int Pid, string Started, string Name) process = CliProcess.Describe(keeper);
        Assert.Equal(0, (await kept.ExecAsync("sh", "-c", "echo kept >/workspace/file; sync")).ExitCode);
        CliResult crash = await kept.ExecAsync(null, ["-u", "root"], "sh", "-c", "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger");
        Assert.Equal(125, crash.ExitCode);
        await CliProcess.WaitForEndAsync([process]);
        Assert.Equal("crashed", await kept.StateAsync());
        CliResult after = await kept.ExecAsync("true");
        Assert.Equal(125, after.ExitCode);
        Assert.StartsWith(
            $"opensandbox: sandbox {kept.Id} has crashed. Boot it from its disks: opensandbox wake {kept.Id}. Its keeper's log: {Kept.RunDirectory}/{kept.Id}.log\n",
            after.Error,
            StringComparison.Ordinal);
        Assert.Contains("is lost", after.Error, StringComparison.Ordinal);

        CliResult wake = await CliProcess.RunAsync("wake", kept.Id);
        Assert.Equal(0, wake.ExitCode);
        Assert.StartsWith($"opensandbox: sandbox {kept.Id} has booted from its disks: ", wake.Error, StringComparison.Ordinal);
        Assert.Equal("kept\n", (await kept.ExecAsync("cat", "/workspace/file")).Text);
    }

    [SkippableFact]
    public async Task List_Kept_IsShownWithWhatItIs()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync("--memory", "640m");
        CliResult list = await CliProcess.RunAsync("ls");
        Assert.Matches($@"(?m)^SANDBOX +IMAGE +STATE +AGE +MEMORY +CPUS +PID$", list.Text);
        Assert.Matches($@"(?m)^{kept.Id} +default +running +\d+s +640 MiB +2 +\d+$", list.Text);
        Assert.Contains(kept.Id, (await CliProcess.RunAsync("ls", "-q")).Text.Split('\n'));
    }

    [SkippableFact]
    public async Task Remove_UnknownAndKnown_EndsTheKnownAndSaysWhichIsNot()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        int keeper = (await Kept.ListAsync())[kept.Id];
        (int Pid, string Started, string Name)[] all = [.. CliProcess.DescendantsOf(keeper), CliProcess.Describe(keeper)];
        CliResult result = await CliProcess.RunAsync("rm", "sb-00000000", kept.Id);
        Assert.Equal((125, "opensandbox: there is no sandbox sb-00000000 here. See 'opensandbox ls'\n"), (result.ExitCode, result.Error));

        // When it returns nothing is left, the keeper included: no waiting here.
        Assert.DoesNotContain(all, CliProcess.IsAlive);
        Assert.Empty(Directory.EnumerateFiles(Kept.RunDirectory, $"{kept.Id}*"));
    }

    private static async Task<CliEnd> EndAsync(params string[] arguments)
    {
        CliResult result = await CliProcess.RunAsync(arguments);
        return new CliEnd(result.ExitCode, result.Error);
    }
}
