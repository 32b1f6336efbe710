using System.Text;
using System.Text.RegularExpressions;

namespace OpenSandbox.Integration.Tests;

/// <summary>Processes on terminals.</summary>
[Collection(HostFixture.Collection)]
public sealed class TerminalTests(HostFixture fixture) : SandboxTests(fixture)
{
    private static readonly TerminalOptions s_terminal = new() { Columns = 101, Rows = 33 };

    [SkippableFact]
    public async Task Terminal_SizeNameAndType_AreRight()
    {
        await using SandboxProcess process = await Sandbox.StartAsync(
            "stty size; tty; echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo all; stat -c %U $(tty); echo x >/dev/tty",
            new StartOptions { Terminal = s_terminal },
            Deadline());
        string[] lines = (await ReadTextAsync(process)).Split("\r\n");

        Assert.Equal("33 101", lines[0]);
        Assert.Matches("^/dev/pts/[0-9]+$", lines[1]);
        Assert.Equal(["xterm-256color", "all", "sandbox", "x", ""], lines[2..]);
        Assert.True(process.HasTerminal);
        Assert.Equal(0, (await process.WaitAsync(Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task Resize_ReachesTheForegroundProcess()
    {
        await using SandboxProcess process = await Sandbox.StartAsync(
            ["bash", "-c", "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"], new StartOptions { Terminal = s_terminal }, Deadline());
        await ReadUntilAsync(process, static text => text.Contains("ready", StringComparison.Ordinal));

        Assert.True(await process.ResizeTerminalAsync(77, 22, Deadline()));

        await ReadUntilAsync(process, static text => text.Contains("22 77", StringComparison.Ordinal));
        await process.KillAsync(Deadline());
        await process.WaitAsync(Deadline());
        Assert.False(await process.ResizeTerminalAsync(1, 1, Deadline()));
    }

    [SkippableFact]
    public async Task Resize_WithoutATerminal_IsRefused()
    {
        await using SandboxProcess process = await Sandbox.StartAsync(["cat"], cancellationToken: Deadline());

        SandboxOperationException refused = await Assert.ThrowsAsync<SandboxOperationException>(
            () => process.ResizeTerminalAsync(80, 24, Deadline()).AsTask());
        Assert.Equal(SandboxErrorCode.InvalidRequest, refused.Code);
    }

    [SkippableFact]
    public async Task ControlC_EndsTheForegroundProcessOnly()
    {
        await using SandboxProcess shell = await StartShellAsync();
        await TypeAsync(shell, "echo begin; sleep 1010\n");
        await ReadUntilAsync(shell, static text => text.Contains("\nbegin", StringComparison.Ordinal));
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1010") == "1\n");
        await TypeAsync(shell, "\u0003");
        await TypeAsync(shell, "echo status=$?\n");

        await ReadUntilAsync(shell, static text => text.Contains("\nstatus=130", StringComparison.Ordinal));
        Assert.Equal("0\n", await CountAsync("sleep 1010"));
    }

    [SkippableFact]
    public async Task JobControl_BackgroundAndForeground_Work()
    {
        await using SandboxProcess shell = await StartShellAsync();
        await TypeAsync(shell, "sleep 1011 & jobs\n");
        await ReadUntilAsync(shell, static text => Regex.IsMatch(text, "Running[^$]*\\$ ", RegexOptions.NonBacktracking));
        await TypeAsync(shell, "fg\n");
        await ReadUntilAsync(shell, static text => text.Contains("sleep 1011\r\n", StringComparison.Ordinal));

        // The shell names the job before it gives it the terminal; until then the key would be for the shell itself.
        await ExecTests.UntilAsync(async () => (await Sandbox.ExecAsync(
            ["sh", "-c", "awk '{ exit $5 != $8 }' /proc/$(pgrep -xf 'sleep 1011')/stat"], cancellationToken: Deadline())).ExitCode == 0);
        await TypeAsync(shell, "\u001a"); // Ctrl-Z
        await ReadUntilAsync(shell, static text => Regex.IsMatch(text, "Stopped[^$]*\\$ ", RegexOptions.NonBacktracking)); // typing ahead of the prompt may be lost
        await TypeAsync(shell, "bg; kill %1; wait; echo left; exit 6\n");

        await ReadUntilAsync(shell, static text => text.Contains("\nleft", StringComparison.Ordinal));
        await ReadTextAsync(shell);
        Assert.Equal(6, (await shell.WaitAsync(Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task OutputBeforeTheFirstReader_IsKept()
    {
        SandboxProcess process = await Sandbox.StartAsync(
            "echo early; sleep 1012", new StartOptions { Terminal = s_terminal, Detached = true }, Deadline());
        await process.DisposeAsync();
        await ExecTests.UntilAsync(async () => (await Sandbox.Processes.ListAsync(Deadline())).Single(p => p.Id == process.Id).OutputEnd == 7);

        await using SandboxProcess reader = await Sandbox.Processes.AttachAsync(process.Id, cancellationToken: Deadline());
        Assert.Equal("early\r\n", await ReadLineAsync(reader));
        await reader.KillAsync(Deadline());
    }

    [SkippableFact]
    public async Task End_LargeOutput_IsDrained()
    {
        await using SandboxProcess process = await Sandbox.StartAsync(
            "stty -opost; head -c 300000 /dev/zero; echo end", new StartOptions { Terminal = s_terminal }, Deadline());
        byte[] output = await ReadAllAsync(process);

        Assert.Equal(300_004, output.Length);
        Assert.Equal("end\n", Encoding.UTF8.GetString(output.AsSpan(300_000)));
    }

    [SkippableTheory]
    [InlineData("", "0")]
    [InlineData("whole\n", "6")]
    [InlineData("part", "4")]
    public async Task CompleteInput_IsEndOfFile(string typed, string expected)
    {
        await using SandboxProcess process = await Sandbox.StartAsync(
            "stty -echo; echo ready; cat | wc -c", new StartOptions { Terminal = s_terminal }, Deadline());
        await ReadLineAsync(process);
        await TypeAsync(process, typed);
        await process.CompleteInputAsync(Deadline());

        Assert.Equal(expected, (await ReadTextAsync(process)).Trim());
        Assert.Equal(0, (await process.WaitAsync(Deadline())).ExitCode);
    }

    [SkippableFact]
    public async Task Input_MoreThanTheTerminalTakes_WaitsAndArrives()
    {
        await using SandboxProcess process = await Sandbox.StartAsync(
            "stty raw -echo; echo ready; head -c 300000 | sha256sum", new StartOptions { Terminal = s_terminal }, Deadline());
        await ReadUntilAsync(process, static text => text.Contains("ready", StringComparison.Ordinal));
        byte[] input = new byte[300_000];
        new Random(6).NextBytes(input);
        Assert.True(await process.WriteAsync(input, Deadline()));

        Assert.StartsWith(
            Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(input)), await ReadTextAsync(process), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Dispose_HangsUpOnTheSession()
    {
        SandboxProcess process = await Sandbox.StartAsync(
            ["bash", "-c", "trap 'echo hup >/tmp/hup; exit' HUP; echo ready; while :; do sleep 0.05; done"],
            new StartOptions { Terminal = s_terminal },
            Deadline());
        await ReadUntilAsync(process, static text => text.Contains("ready", StringComparison.Ordinal));

        await process.DisposeAsync();

        Assert.NotNull(await Sandbox.Processes.WaitAsync(process.Id, Deadline(20)));
        Assert.Equal("hup\n", await Sandbox.Files.ReadAllTextAsync("/tmp/hup", Deadline()));
    }

    [SkippableFact]
    public async Task Dispose_OfASessionThatIgnoresTheHangUp_KillsIt()
    {
        SandboxProcess process = await Sandbox.StartAsync(
            ["bash", "-c", "trap '' HUP; setsid sleep 1013 & echo ready; sleep 1013"], new StartOptions { Terminal = s_terminal }, Deadline());
        await ReadUntilAsync(process, static text => text.Contains("ready", StringComparison.Ordinal));

        await process.DisposeAsync();

        Assert.Equal(9, (await Sandbox.Processes.WaitAsync(process.Id, Deadline(20))).Signal);
        await ExecTests.UntilAsync(async () => await CountAsync("sleep 1013") == "0\n");
    }

    private static async Task TypeAsync(SandboxProcess process, string text) =>
        Assert.True(await process.WriteAsync(Encoding.UTF8.GetBytes(text), Deadline()));

    private async Task<SandboxProcess> StartShellAsync()
    {
        SandboxProcess shell = await Sandbox.StartAsync(
            ["bash", "--norc"],
            new StartOptions
            {
                // No bracketed paste: its escape sequences would stand between the lines.
                Terminal = s_terminal with { Type = "dumb" },
                EnvironmentVariables = new Dictionary<string, string> { ["PS1"] = "$ " },
            },
            Deadline());
        await ReadUntilAsync(shell, static text => text.Contains("$ ", StringComparison.Ordinal));
        return shell;
    }
}
