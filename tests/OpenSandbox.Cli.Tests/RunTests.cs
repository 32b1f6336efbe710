using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using OpenSandbox.Cli.Tests.Support;

namespace OpenSandbox.Cli.Tests;

/// <summary>The built program with real sandboxes.</summary>
[Collection(Sandboxes.Name)]
public sealed class RunTests(Sandboxes sandboxes)
{
    private const int SigHup = 1, SigInt = 2, SigTerm = 15;

    [SkippableFact]
    public async Task Run_PythonPrints42_PrintsNothingElse()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--", "python3", "-c", "print(6*7)");
        Assert.Equal((0, "42\n", ""), (result.ExitCode, result.Text, result.Error));
    }

    [SkippableFact]
    public async Task Run_OptionsBehindTheCommand_BelongToTheCommand()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "sh", "-c", "echo $0 $1", "--json", "-v");
        Assert.Equal((0, "--json -v\n", ""), (result.ExitCode, result.Text, result.Error));
    }

    [SkippableTheory]
    [InlineData("exit 0", 0)]
    [InlineData("exit 7", 7)]
    [InlineData("exit 255", 255)]
    [InlineData("kill -TERM $$", 143)]
    [InlineData("kill -KILL $$", 137)]
    public async Task Run_CommandEnds_ExitsAsItDoes(string script, int expected)
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--", "sh", "-c", script);
        Assert.Equal((expected, "", ""), (result.ExitCode, result.Text, result.Error));
    }

    [SkippableFact]
    public async Task Run_BothOutputs_StayApart()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--", "sh", "-c", "echo out; echo err >&2; echo out2");
        Assert.Equal((0, "out\nout2\n", "err\n"), (result.ExitCode, result.Text, result.Error));
    }

    [SkippableFact]
    public async Task Run_TenMegabytesThroughCat_ComeBackBitForBit()
    {
        sandboxes.Require();
        byte[] input = RandomNumberGenerator.GetBytes(10_000_000);
        CliResult result = await CliProcess.RunAsync(input, null, null, "run", "--", "cat");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Equal(Convert.ToHexString(SHA256.HashData(input)), Convert.ToHexString(SHA256.HashData(result.Output)));
    }

    [SkippableFact]
    public async Task Run_EveryByteValue_IsPassedAsItIs()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--", "python3", "-c", "import sys; sys.stdout.buffer.write(bytes(range(256)))");
        Assert.Equal([.. Enumerable.Range(0, 256).Select(static value => (byte)value)], result.Output);
    }

    [SkippableFact]
    public async Task Run_InputStaysOpen_OutputArrivesBeforeItsEnd()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "run", "--", "cat");
        await cli.Input.WriteAsync("one\n"u8.ToArray());
        await cli.Input.FlushAsync();
        Assert.Equal("one", await cli.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        await cli.Input.WriteAsync("two\n"u8.ToArray());
        await cli.Input.DisposeAsync();
        Assert.Equal("two", await cli.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        Assert.Equal(new CliEnd(0, ""), await cli.WaitAsync());
    }

    [SkippableFact]
    public async Task Run_CommandEndsWhileInputIsOpen_DoesNotWaitForMore()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "run", "--", "true");
        Assert.Equal(new CliEnd(0, ""), await cli.WaitAsync());
    }

    [SkippableFact]
    public async Task Run_NoStdin_CommandReadsEndAndInputIsLeft()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "run", "--no-stdin", "--", "sh", "-c", "cat; echo end");
        Assert.Equal("end", await cli.OutputText.ReadToEndAsync().WaitAsync(CliProcess.Deadline) is string text ? text.TrimEnd() : null);
        Assert.Equal(new CliEnd(0, ""), await cli.WaitAsync());
    }

    [SkippableFact]
    public async Task Run_ReaderGoesAway_EndsQuietlyAsOtherToolsDo()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "run", "--", "yes");
        Assert.Equal("y", await cli.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        IReadOnlyList<(int Pid, string Started, string Name)> children = cli.Descendants();
        cli.Output.Close();
        Assert.Equal(new CliEnd(141, ""), await cli.WaitAsync());
        Assert.DoesNotContain(children, CliProcess.IsAlive);
    }

    [SkippableTheory]
    [InlineData(SigInt, 130)]
    [InlineData(SigTerm, 143)]
    [InlineData(SigHup, 129)]
    public async Task Run_Signal_EndsTheGuestAndLeavesNoProcess(int signal, int expected)
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "run", "--", "sh", "-c", "echo ready; exec sleep 1000");
        Assert.Equal("ready", await cli.OutputText.ReadLineAsync().WaitAsync(CliProcess.Deadline));
        IReadOnlyList<(int Pid, string Started, string Name)> children = cli.Descendants();
        Assert.Contains(children, static child => child.Name.StartsWith("qemu", StringComparison.Ordinal));
        cli.Signal(signal);
        Assert.Equal(new CliEnd(expected, ""), await cli.WaitAsync());
        Assert.DoesNotContain(children, CliProcess.IsAlive);
    }

    [SkippableFact]
    public async Task Run_SignalWhileNobodyReadsTheOutput_EndsTheGuest()
    {
        sandboxes.Require();
        using CliProcess cli = CliProcess.Start(null, "run", "--", "sh", "-c", "echo ready; exec yes");
        Assert.Equal((byte)'r', await ReadByteAsync(cli.Output));
        cli.Signal(SigInt);
        Assert.Equal(new CliEnd(130, ""), await cli.WaitAsync());
    }

    [SkippableFact]
    public async Task Run_TimeIsUp_ExitsWith124AndKillsTheCommand()
    {
        sandboxes.Require();
        long started = Stopwatch.GetTimestamp();
        CliResult result = await CliProcess.RunAsync("run", "--timeout", "5s", "--", "sh", "-c", "echo begun; sleep 1000");
        Assert.Equal((124, "begun\n", ""), (result.ExitCode, result.Text, result.Error));
        Assert.InRange(Stopwatch.GetElapsedTime(started), TimeSpan.FromSeconds(5), CliProcess.Deadline);
    }

    [SkippableFact]
    public async Task Run_NoSuchCommand_ExitsWith127AndSaysSoInOneLine()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--", "no-such-command");
        Assert.Equal((127, ""), (result.ExitCode, result.Text));
        Assert.Matches(@"\Aopensandbox: [^\n]*no-such-command[^\n]*\n\z", result.Error);
    }

    [SkippableFact]
    public async Task Run_NoSuchDirectory_ExitsWith125AndNamesIt()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--cwd", "/no/such/folder", "--", "true");
        Assert.Equal((125, ""), (result.ExitCode, result.Text));
        Assert.Matches(@"\Aopensandbox: [^\n]*/no/such/folder[^\n]*\n\z", result.Error);
    }

    [SkippableFact]
    public async Task Run_NotExecutable_ExitsWith126()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--", "/etc/passwd");
        Assert.Equal((126, ""), (result.ExitCode, result.Text));
        Assert.Matches(@"\Aopensandbox: [^\n]*/etc/passwd[^\n]*\n\z", result.Error);
    }

    [SkippableFact]
    public async Task Run_NoSuchUser_ExitsWith125()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--user", "nobody-here", "--", "true");
        Assert.Equal((125, ""), (result.ExitCode, result.Text));
        Assert.Contains("nobody-here", result.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Run_NoSuchImage_ExitsWith125AndNamesTheOnesThereAre()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--image", "no-such-image", "--", "true");
        Assert.Equal((125, ""), (result.ExitCode, result.Text));
        Assert.Matches(@"\Aopensandbox: there is no image 'no-such-image': [^\n]*default[^\n]*\n\z", result.Error);
    }

    [SkippableFact]
    public async Task Run_EnvironmentDirectoryAndUser_AreTheCommands()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync(
            "run", "-e", "A=1=2", "-e", "B=", "--env=C=x y", "--cwd", "/usr", "--user", "root", "--", "sh", "-c", "echo \"$A|${B-unset}|$C|$(pwd)|$(id -u)\"");
        Assert.Equal((0, "1=2||x y|/usr|0\n", ""), (result.ExitCode, result.Text, result.Error));
    }

    [SkippableFact]
    public async Task Run_MoreMemory_IsThereForTheCommand()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--memory", "1g", "--", "awk", "/MemTotal/ { print $2 }", "/proc/meminfo");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.InRange(long.Parse(result.Text), 800 * 1024, 1024 * 1024);
    }

    [SkippableFact]
    public async Task Run_PidsMax_LimitsTheCommand()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync(
            "run", "--pids-max", "8", "--", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; echo all");
        Assert.NotEqual(0, result.ExitCode);
        Assert.DoesNotContain("all", result.Text, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Run_Json_PrintsOneObjectAndExitsAsTheCommand()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--json", "--", "sh", "-c", "printf 'ä'; printf '\\377' >&2; exit 3");
        Assert.Equal((3, ""), (result.ExitCode, result.Error));
        using JsonDocument json = JsonDocument.Parse(result.Output);
        JsonElement root = json.RootElement;
        Assert.Equal(3, root.GetProperty("exitCode").GetInt32());
        Assert.Equal("ä", root.GetProperty("stdout").GetString());
        Assert.Equal("/w==", root.GetProperty("stderrBase64").GetString());
        Assert.False(root.TryGetProperty("stderr", out _));
        Assert.Equal(JsonValueKind.Null, root.GetProperty("signal").ValueKind);
        Assert.False(root.GetProperty("timedOut").GetBoolean());
        Assert.InRange(root.GetProperty("timings").GetProperty("createMs").GetDouble(), 1, 60_000);
    }

    [SkippableFact]
    public async Task Run_JsonWithoutSandbox_PrintsWhy()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "--json", "--", "no-such-command");
        Assert.Equal(127, result.ExitCode);
        using JsonDocument json = JsonDocument.Parse(result.Output);
        Assert.Equal("NotFound", json.RootElement.GetProperty("error").GetProperty("code").GetString());
        Assert.Equal(127, json.RootElement.GetProperty("exitCode").GetInt32());
    }

    [SkippableFact]
    public async Task Run_Verbose_LogsOnStandardErrorOnly()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("run", "-v", "--", "echo", "hi");
        Assert.Equal((0, "hi\n"), (result.ExitCode, result.Text));
        Assert.Contains("opensandbox: Host started", result.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Run_FourAtOnce_EachHasItsOwnOutput()
    {
        sandboxes.Require();
        CliResult[] results = await Task.WhenAll(Enumerable.Range(0, 4).Select(static number => CliProcess.RunAsync("run", "--", "echo", $"number {number}")));
        Assert.Equal(Enumerable.Range(0, 4).Select(static number => (0, $"number {number}\n", "")), results.Select(static result => (result.ExitCode, result.Text, result.Error)));
    }

    [SkippableFact]
    public async Task Doctor_WhereSandboxesRun_IsContent()
    {
        sandboxes.Require();
        CliResult result = await CliProcess.RunAsync("doctor", "--json");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        using JsonDocument json = JsonDocument.Parse(result.Output);
        Assert.True(json.RootElement.GetProperty("ready").GetBoolean());
        JsonElement jail = json.RootElement.GetProperty("findings").EnumerateArray().Single(static finding => finding.GetProperty("name").GetString() == "jail");
        Assert.Equal("Ok", jail.GetProperty("status").GetString(), ignoreCase: true);
    }

    private static async Task<byte> ReadByteAsync(Stream stream)
    {
        byte[] one = new byte[1];
        await stream.ReadExactlyAsync(one).AsTask().WaitAsync(CliProcess.Deadline);
        return one[0];
    }
}
