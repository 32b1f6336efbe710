using System.Security.Cryptography;
using OpenSandbox.Cli.Tests.Support;

namespace OpenSandbox.Cli.Tests;

/// <summary>The verb <c>exec</c> of the built program with a real sandbox that another process keeps.</summary>
[Collection(Sandboxes.Name)]
public sealed class KeptExecTests(Sandboxes sandboxes) : IAsyncLifetime
{
    private const int SigInt = 2;
    private Kept? _kept;

    private Kept Kept => _kept ?? throw new InvalidOperationException("there is no sandbox");

    public async Task InitializeAsync()
    {
        if (sandboxes.Reason is null)
        {
            _kept = await Kept.StartAsync();
        }
    }

    public async Task DisposeAsync()
    {
        if (_kept is not null)
        {
            await _kept.DisposeAsync();
        }
    }

    [SkippableFact]
    public async Task Exec_ExitCodesAndOutputs_AreTheCommands()
    {
        sandboxes.Require();
        foreach ((string script, int code) in ((string, int)[])[("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143)])
        {
            CliResult result = await Kept.ExecAsync("sh", "-c", $"echo out; echo err >&2; {script}");
            Assert.Equal((code, "out\n", "err\n"), (result.ExitCode, result.Text, result.Error));
        }
    }

    [SkippableFact]
    public async Task Exec_CannotRun_ExitsAsRunDoes()
    {
        sandboxes.Require();
        CliResult missing = await Kept.ExecAsync("no-such-command");
        Assert.Equal((127, ""), (missing.ExitCode, missing.Text));
        Assert.Matches(@"\Aopensandbox: [^\n]*no-such-command[^\n]*\n\z", missing.Error);
        Assert.Equal(126, (await Kept.ExecAsync("/etc/passwd")).ExitCode);
        Assert.Equal(125, (await Kept.ExecAsync(null, ["-u", "nobody-here"], "true")).ExitCode);
        CliResult late = await Kept.ExecAsync(null, ["--timeout", "5s"], "sh", "-c", "echo begun; sleep 1000");
        Assert.Equal((124, "begun\n", ""), (late.ExitCode, late.Text, late.Error));
    }

    [SkippableFact]
    public async Task Exec_EnvironmentDirectoryAndUser_AreTheCommands()
    {
        sandboxes.Require();
        CliResult result = await Kept.ExecAsync(
            null, ["-e", "A=1=2", "--env=C=x y", "--cwd", "/usr", "--user", "root"], "sh", "-c", "echo \"$A|$C|$(pwd)|$(id -u)\"");
        Assert.Equal((0, "1=2|x y|/usr|0\n", ""), (result.ExitCode, result.Text, result.Error));
    }

    [SkippableFact]
    public async Task Exec_TenMegabytesThroughCat_ComeBackBitForBit()
    {
        sandboxes.Require();
        byte[] input = RandomNumberGenerator.GetBytes(10_000_000);
        CliResult result = await Kept.ExecAsync(input, [], "cat");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal(Convert.ToHexString(SHA256.HashData(input)), Convert.ToHexString(SHA256.HashData(result.Output)));
    }

    [SkippableFact]
    public async Task Exec_NoStdin_CommandReadsEnd()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "exec", "-n", Kept.Id, "sh", "-c", "cat; echo end");
        Assert.Equal("end\n", await cli.OutputText.ReadToEndAsync().WaitAsync(CliProcess.Deadline));
        Assert.Equal(new CliEnd(0, ""), await cli.WaitAsync());
    }

    [SkippableFact]
    public async Task Exec_CommandEndsWhileMoreInputComes_DoesNotWait()
    {
        sandboxes.Require();
        CliResult result = await Kept.ExecAsync(new byte[3_000_000], [], "head", "-c", "3");
        Assert.Equal((0, 3, ""), (result.ExitCode, result.Output.Length, result.Error));
    }

    [SkippableFact]
    public async Task Exec_InterruptedWhileTheCommandDoesNotReadItsInput_KillsTheCommand()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "exec", Kept.Id, "sh", "-c", "echo ready; exec sleep 777");
        Assert.Equal("ready", await cli.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        Task flood = FloodAsync(cli.Input);
        cli.Signal(SigInt);
        Assert.Equal(new CliEnd(130, ""), await cli.WaitAsync());
        await flood.WaitAsync(CliProcess.Deadline);

        // The kill is sent when the keeper sees that nobody is there any more: a moment later, for which this waits in the guest.
        CliResult gone = await Kept.ExecAsync("sh", "-c", "for i in $(seq 100); do pgrep -x sleep >/dev/null || exit 0; sleep 0.2; done; pgrep -xa sleep");
        Assert.Equal((0, ""), (gone.ExitCode, gone.Text));
    }

    [SkippableFact]
    public async Task Exec_ReaderGoesAway_EndsQuietlyAsOtherToolsDo()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "exec", Kept.Id, "yes");
        Assert.Equal("y", await cli.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        cli.Output.Close();
        Assert.Equal(new CliEnd(141, ""), await cli.WaitAsync());
    }

    [SkippableFact]
    public async Task Exec_FourAtOnce_EachHasItsOwnOutput()
    {
        sandboxes.Require();
        CliResult[] results = await Task.WhenAll(Enumerable.Range(0, 4).Select(number => Kept.ExecAsync([(byte)('0' + number)], [], "sh", "-c", "cat; echo")));
        Assert.Equal(Enumerable.Range(0, 4).Select(static number => (0, $"{number}\n", "")), results.Select(static result => (result.ExitCode, result.Text, result.Error)));
    }

    private static async Task FloodAsync(Stream input)
    {
        try
        {
            byte[] block = new byte[65_536];
            for (int i = 0; i < 1_000; i++)
            {
                await input.WriteAsync(block);
            }
        }
        catch (IOException)
        {
            // The program has ended, as it should.
        }
    }
}
