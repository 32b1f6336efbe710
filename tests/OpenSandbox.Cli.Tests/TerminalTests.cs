using OpenSandbox.Cli.Tests.Support;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Tests;

/// <summary>The verbs that use a terminal, in a real one. Whatever ends them, the terminal is as it was.</summary>
[Collection(Sandboxes.Name)]
public sealed class TerminalTests(Sandboxes sandboxes) : IAsyncLifetime
{
    private const int SigHup = 1, SigQuit = 3, SigKill = 9, SigTerm = 15;
    private Kept? _kept;
    private TmuxSession? _tmux;

    private Kept Kept => _kept ?? throw new InvalidOperationException("there is no sandbox");

    private TmuxSession Tmux => _tmux ?? throw new InvalidOperationException("there is no terminal");

    public async Task InitializeAsync()
    {
        if (sandboxes.Reason is null && File.Exists("/usr/bin/tmux"))
        {
            _kept = await Kept.StartAsync();
            _tmux = await TmuxSession.StartAsync(100, 30);
        }
    }

    public async Task DisposeAsync()
    {
        if (_tmux is not null)
        {
            await _tmux.DisposeAsync();
        }

        if (_kept is not null)
        {
            await _kept.DisposeAsync();
        }
    }

    [SkippableFact]
    public async Task Shell_OfAKeptSandbox_HasTheTerminalsSizeAndKeysAndFollowsIt()
    {
        Require();
        await Tmux.TypeAsync($"TERM=vt220 osb shell {Kept.Id}\n");
        await Tmux.WaitForAsync("sandbox@");
        await Tmux.TypeAsync("tty; stty size; echo $TERM=\n");
        await Tmux.WaitForAsync("/dev/pts/");
        await Tmux.WaitForAsync("30 100");
        await Tmux.WaitForAsync("vt220=");

        // The shell in the sandbox is told when the size changes.
        await Tmux.TypeAsync("trap 'echo resized to $(stty size)=' WINCH; echo trap''ped\n");
        await Tmux.WaitForAsync("trapped");
        await Tmux.ResizeAsync(120, 40);
        await Tmux.WaitForAsync("resized to 40 120=");
        await Tmux.ResizeAsync(100, 30);
        await Tmux.WaitForAsync("resized to 30 100=");

        // Ctrl-C is for what runs there, not for the command line here.
        await Tmux.TypeAsync("echo be''gun; sleep 1000; echo ended by $?=\n");
        await Tmux.WaitForAsync("begun");
        await Tmux.PressAsync("C-c");
        await Tmux.TypeAsync("\necho exit-co''de=$?=\n");
        await Tmux.WaitForAsync("exit-code=130=");
        await Tmux.TypeAsync("exit 7\n");
        await Tmux.WaitForAsync("host> ");
        Assert.Equal(7, await Tmux.AssertRestoredAsync());
    }

    [SkippableFact]
    public async Task Shell_WithoutASandbox_MakesOneThatEndsWithIt()
    {
        Require();
        HashSet<string> before = [.. (await Kept.ListAsync()).Keys];
        await Tmux.TypeAsync("osb shell\n");
        await Tmux.WaitForAsync("sandbox@");
        Assert.Single((await Kept.ListAsync()).Keys, id => !before.Contains(id));
        await Tmux.PressAsync("C-d");
        await Tmux.WaitForAsync("host> ");
        Assert.Equal(0, await Tmux.AssertRestoredAsync());
        Assert.Equal(before.Order(), (await Kept.ListAsync()).Keys.Order());
    }

    [SkippableTheory]
    [InlineData(SigTerm, 143)]
    [InlineData(SigHup, 129)]
    [InlineData(SigQuit, 131)]
    public async Task Exec_OnATerminalAndSignalled_LeavesTheTerminalAsItWas(int signal, int expected)
    {
        Require();
        await StartFullScreenAsync();
        Assert.Equal(0, Libc.KillProcess(await Tmux.ForegroundAsync(), signal));
        await Tmux.WaitForAsync("host> ");
        Assert.Equal(expected, await Tmux.AssertRestoredAsync());
        if (signal != SigQuit)
        {
            Assert.Equal("0 1", $"{await Tmux.VariableAsync("alternate_on")} {await Tmux.VariableAsync("cursor_flag")}");
        }
    }

    [SkippableFact]
    public async Task Exec_OnATerminalAndTheSandboxIsLost_LeavesTheTerminalAsItWasAndSaysWhy()
    {
        Require();
        await StartFullScreenAsync();
        Assert.Equal(0, Libc.KillProcess((await Kept.ListAsync())[Kept.Id], SigKill));
        await Tmux.WaitForAsync($"opensandbox: sandbox {Kept.Id} is gone: its keeper has ended");
        await Tmux.WaitForAsync("host> ");
        Assert.Equal(125, await Tmux.AssertRestoredAsync());
        Assert.Equal("0 1", $"{await Tmux.VariableAsync("alternate_on")} {await Tmux.VariableAsync("cursor_flag")}");
    }

    [SkippableFact]
    public async Task Exec_OnATerminalAndItsTimeIsUp_LeavesTheTerminalAsItWas()
    {
        Require();
        await Tmux.TypeAsync($"osb exec -it --timeout 1s {Kept.Id} -- sleep 1000\n");
        await Tmux.WaitForAsync("host> ");
        Assert.Equal(124, await Tmux.AssertRestoredAsync());
    }

    [SkippableFact]
    public async Task Exec_OnATerminalButNoSuchCommand_ExitsWith127AndAStraightMessage()
    {
        Require();
        await Tmux.TypeAsync($"osb exec -it {Kept.Id} -- no-such-command\n");
        await Tmux.WaitForAsync("no-such-command (exec)");
        await Tmux.WaitForAsync("\r\n");
        await Tmux.WaitForAsync("host> ");
        Assert.Equal(127, await Tmux.AssertRestoredAsync());
    }

    [SkippableFact]
    public async Task Exec_OnATerminalStoppedAndContinued_IsRawAgain()
    {
        Require();
        await Tmux.TypeAsync($"set -m; osb exec -it {Kept.Id} -- bash\n");
        await Tmux.WaitForAsync("sandbox@");
        Assert.Equal(0, Libc.KillProcess(await Tmux.ForegroundAsync(), 20));
        await Tmux.WaitForAsync("Stopped");
        await Tmux.WaitForAsync("host> ");
        await Tmux.TypeAsync("stty -a >after; cmp before after && echo same-''here; fg\n");
        await Tmux.WaitForAsync("same-here");
        await Tmux.TypeAsync("echo back-''again; exit 3\n");
        await Tmux.WaitForAsync("back-again");
        await Tmux.WaitForAsync("host> ");
        Assert.Equal(3, await Tmux.AssertRestoredAsync());
    }

    [SkippableFact]
    public async Task Exec_TerminalWithoutOne_IsAUsageError()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        CliResult result = await CliProcess.RunAsync("exec", "-t", kept.Id, "--", "true");
        Assert.Equal((2, "", "opensandbox: option --tty: standard input is not a terminal\n"), (result.ExitCode, result.Text, result.Error));
    }

    [SkippableFact]
    public async Task Shell_WithoutATerminal_RunsItsInputAsAScript()
    {
        sandboxes.Require();
        await using Kept kept = await Kept.StartAsync();
        CliResult result = await CliProcess.RunAsync("echo out; tty; exit 4\n"u8.ToArray(), null, null, "shell", kept.Id);
        Assert.Equal((4, "out\nnot a tty\n", ""), (result.ExitCode, result.Text, result.Error));
    }

    private void Require()
    {
        sandboxes.Require();
        TmuxSession.Require();
    }

    /// <summary>Runs something that has switched to the alternate screen and hidden the cursor.</summary>
    private async Task StartFullScreenAsync()
    {
        await Tmux.TypeAsync($"osb exec -it {Kept.Id} -- sh -c 'printf \"\\033[?1049h\\033[?25lfull\"; printf \"screen\\n\"; sleep 1000'\n");
        await Tmux.WaitForAsync("fullscreen");
        Assert.Equal("1 0", $"{await Tmux.VariableAsync("alternate_on")} {await Tmux.VariableAsync("cursor_flag")}");
    }
}
