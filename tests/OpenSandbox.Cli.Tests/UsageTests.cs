using OpenSandbox.Cli.Tests.Support;

namespace OpenSandbox.Cli.Tests;

/// <summary>The built program where it starts no sandbox: nothing here needs QEMU.</summary>
public sealed class UsageTests
{
    [Theory]
    [InlineData("unknown option '--bogus'", "run", "--bogus", "ls")]
    [InlineData("unknown option '--bogus=1'", "run", "--bogus=1", "ls")]
    [InlineData("unknown option '-x'", "image", "rm", "-x")]
    [InlineData("unknown command 'frobnicate'", "frobnicate")]
    [InlineData("unknown command 'frobnicate'", "image", "frobnicate")]
    [InlineData("option --memory: '12 parsecs' is not a memory size", "run", "--memory", "12 parsecs", "ls")]
    [InlineData("option --memory: '100' is 100 MiB; a sandbox has from 256", "run", "-m", "100", "ls")]
    [InlineData("option --memory: '1000' is 1000 MiB; it must be a multiple of 128, such as 1024", "run", "-m", "1000", "ls")]
    [InlineData("option --timeout: 'soon' is not a duration", "run", "--timeout", "soon", "ls")]
    [InlineData("option --timeout: '0' is out of range", "run", "--timeout", "0", "ls")]
    [InlineData("option --pids-max: '7' is not a number from 8 to 65536", "run", "--pids-max", "7", "ls")]
    [InlineData("option --accelerator: 'xen' is none of auto, kvm, tcg", "run", "--accelerator", "xen", "ls")]
    [InlineData("option --isolation: 'some' is none of full, rootless, best, none", "run", "--isolation", "some", "ls")]
    [InlineData("option --cwd: 'here' is not an absolute path", "run", "--cwd", "here", "ls")]
    [InlineData("option --env: '=1' has no name", "run", "-e", "=1", "ls")]
    [InlineData("option --env: OPENSANDBOX_NOT_SET is not set here", "run", "-e", "OPENSANDBOX_NOT_SET", "ls")]
    [InlineData("a command to run is missing", "run")]
    [InlineData("option --detach: it needs --keep", "run", "--detach", "ls")]
    [InlineData("Required argument missing", "exec", "sb-1a2b3c4d")]
    [InlineData("unknown option '-ix'", "exec", "-ix", "sb-1a2b3c4d", "ls")]
    [InlineData("unknown option '-ie'", "exec", "-ie", "A=1", "sb-1a2b3c4d", "ls")]
    [InlineData("option --no-stdin: it contradicts", "exec", "-n", "-t", "sb-1a2b3c4d", "ls")]
    [InlineData("option --detach: a command in the background", "exec", "-d", "-i", "sb-1a2b3c4d", "ls")]
    [InlineData("sandbox sb-1a2b3c4d is there already", "shell", "--memory", "1g", "sb-1a2b3c4d")]
    [InlineData("one side of a copy", "cp", "a", "b")]
    [InlineData("one side of a copy", "cp", "sb-1a2b3c4d:/a", "sb-1a2b3c4d:/b")]
    [InlineData("'sb-1a2b3c4d:a': the path in a sandbox is absolute", "cp", "sb-1a2b3c4d:a", "b")]
    [InlineData("option --since-offset: '-1' is not a number", "logs", "--since-offset", "-1", "sb-1a2b3c4d")]
    [InlineData("a sandbox to end is missing", "rm")]
    [InlineData("option --all: it leaves no others", "rm", "--all", "sb-1a2b3c4d")]
    [InlineData("a keeper is started by", "keeper")]
    public async Task CommandLine_IsWrong_OneLineNamesItAndNothingIsStarted(string message, params string[] arguments)
    {
        CliResult result = await CliProcess.RunAsync(arguments);
        Assert.Equal((2, ""), (result.ExitCode, result.Text));
        Assert.StartsWith($"opensandbox: {message}", result.Error, StringComparison.Ordinal);
        Assert.Equal(1, result.Error.Count(static c => c == '\n'));
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("help")]
    [InlineData]
    public async Task Help_OfTheProgram_ListsTheVerbsOnStandardOutput(params string[] arguments)
    {
        CliResult result = await CliProcess.RunAsync(arguments);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.All((string[])["run", "exec", "shell", "cp", "ls", "ps", "logs", "stats", "rm", "image", "doctor", "version"], verb => Assert.Contains($"  {verb}", result.Text, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Help_OfRun_HasUsageExamplesAndExitCodes()
    {
        CliResult result = await CliProcess.RunAsync("help", "run");
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Contains("opensandbox run [options] [--] COMMAND [ARG...]", result.Text, StringComparison.Ordinal);
        Assert.Contains("opensandbox run -- python3 -c 'print(6*7)'", result.Text, StringComparison.Ordinal);
        Assert.Contains("124      the command's time was up", result.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("version")]
    [InlineData("--version")]
    public async Task Version_IsPrinted(string argument)
    {
        CliResult result = await CliProcess.RunAsync(argument);
        Assert.Equal((0, ""), (result.ExitCode, result.Error));
        Assert.Matches(@"\A\d+\.\d+\.\d+[^\n]*\n\z", result.Text);
    }

    [Fact]
    public async Task Doctor_AssetsMissing_SaysSoWithARemedyAndExitsWith1()
    {
        string empty = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;
        try
        {
            var environment = new Dictionary<string, string>
            {
                ["OPENSANDBOX_ASSETS"] = empty,
                ["OPENSANDBOX_STATE"] = Path.Combine(empty, "state"),
                ["OPENSANDBOX_RUNTIME"] = Path.Combine(empty, "run"),
            };
            CliResult result = await CliProcess.RunAsync(null, environment, null, "doctor");
            Assert.Equal((1, ""), (result.ExitCode, result.Error));
            Assert.Matches(@"missing +assets +vmlinuz is missing, initramfs\.cpio is missing, launcher is missing", result.Text);
            Assert.Contains("-> scripts/build-assets.sh", result.Text, StringComparison.Ordinal);
            Assert.False(Directory.Exists(Path.Combine(empty, "state")), "a check makes nothing");
        }
        finally
        {
            Directory.Delete(empty, recursive: true);
        }
    }

    [SkippableFact]
    public async Task Run_AssetsMissing_OneLineWithARemedyAndNoStackTrace()
    {
        Skip.IfNot(File.Exists("/usr/bin/qemu-system-x86_64"), "QEMU is not installed");
        string empty = Directory.CreateTempSubdirectory("opensandbox-test-").FullName;
        try
        {
            var environment = new Dictionary<string, string>
            {
                ["OPENSANDBOX_ASSETS"] = empty,
                ["OPENSANDBOX_STATE"] = Path.Combine(empty, "state"),
                ["OPENSANDBOX_RUNTIME"] = Path.Combine(empty, "run"),
            };
            CliResult result = await CliProcess.RunAsync(null, environment, null, "run", "--", "true");
            Assert.Equal((125, ""), (result.ExitCode, result.Text));
            Assert.Matches(@"\Aopensandbox: [^\n]*build-assets\.sh[^\n]*\n\z", result.Error);

            environment["OPENSANDBOX_DEBUG"] = "1";
            CliResult debug = await CliProcess.RunAsync(null, environment, null, "run", "--", "true");
            Assert.Equal(125, debug.ExitCode);
            Assert.Contains("   at OpenSandbox.", debug.Error, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(empty, recursive: true);
        }
    }
}
