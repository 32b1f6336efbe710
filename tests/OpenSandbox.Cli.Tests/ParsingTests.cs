using System.CommandLine;
using OpenSandbox.Cli.Commands;
using OpenSandbox.Cli.Parsing;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Tests;

public sealed class ParsingTests
{
    [Theory]
    [InlineData("1024", 1024)]
    [InlineData("256", 256)]
    [InlineData("512m", 512)]
    [InlineData("640MiB", 640)]
    [InlineData("1g", 1024)]
    [InlineData("2GB", 2048)]
    [InlineData("16G", 16384)]
    public void MemorySize_Valid_IsMebibytes(string text, int expected)
    {
        Assert.True(MemorySize.TryParse(text, 16_384, out int mib, out string problem), problem);
        Assert.Equal(expected, mib);
    }

    [Theory]
    [InlineData("")]
    [InlineData("g")]
    [InlineData("-1g")]
    [InlineData("+512")]
    [InlineData("1.5g")]
    [InlineData("1k")]
    [InlineData("1 g")]
    [InlineData("0")]
    [InlineData("128")]
    [InlineData("17g")]
    [InlineData("300m")]
    [InlineData("99999999999")]
    [InlineData("2147483647g")]
    public void MemorySize_Invalid_IsRefusedWithTheText(string text)
    {
        Assert.False(MemorySize.TryParse(text, 16_384, out _, out string problem));
        Assert.StartsWith($"'{text}'", problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("30", 30_000)]
    [InlineData("1.5", 1_500)]
    [InlineData("30s", 30_000)]
    [InlineData("500ms", 500)]
    [InlineData("5m", 300_000)]
    [InlineData("2h", 7_200_000)]
    public void Duration_Valid_IsRead(string text, double milliseconds)
    {
        Assert.True(Duration.TryParse(text, out TimeSpan duration, out string problem), problem);
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), duration);
    }

    [Theory]
    [InlineData("")]
    [InlineData("s")]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("1e3")]
    [InlineData("1.2.3")]
    [InlineData("1d")]
    [InlineData("9999999h")]
    [InlineData("0.5ms")]
    public void Duration_Invalid_IsRefusedWithTheText(string text)
    {
        Assert.False(Duration.TryParse(text, out _, out string problem));
        Assert.StartsWith($"'{text}'", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Environment_Assignments_AreSplitAtTheFirstEqualsSignAndTheLastWins()
    {
        Dictionary<string, string> variables = EnvironmentAssignments.Parse(
            ["A=1", "B=x=y", "C=", "D", "A=2"], static name => name == "D" ? "inherited" : null);
        Assert.Equal(new Dictionary<string, string> { ["A"] = "2", ["B"] = "x=y", ["C"] = "", ["D"] = "inherited" }, variables);
    }

    [Theory]
    [InlineData("=1")]
    [InlineData("")]
    [InlineData("NOT_SET")]
    public void Environment_NoNameOrNoValue_IsAUsageError(string text) =>
        Assert.Throws<UsageException>(() => EnvironmentAssignments.Parse([text], static _ => null));

    [Fact]
    public void Run_WithoutOptions_UsesTheLibrarysDefaults()
    {
        RunRequest request = Read("run", "ls");
        Assert.Equal(["ls"], request.Command);
        var spec = new SandboxSpec();
        Assert.Equal((spec.Image, spec.MemoryMib, spec.PidsMax), (request.Spec.Image, request.Spec.MemoryMib, request.Spec.PidsMax));
        Assert.Equal((AcceleratorChoice.Auto, IsolationLevel.Full), (request.Host.Accelerator, request.Host.Isolation.Level));
        Assert.Null(request.Exec.Timeout);
        Assert.Null(request.Exec.WorkingDirectory);
        Assert.Null(request.Exec.User);
        Assert.True(request.PassInput);
        Assert.False(request.Json || request.Verbose);
    }

    [Fact]
    public void Run_WithAllOptions_MapsThem()
    {
        RunRequest request = Read(
            "run", "-e", "A=1", "--env", "B=2", "-w", "/tmp", "-u", "1000:1000", "-m", "2g", "-t", "90s", "--image", "other", "--pids-max", "512",
            "--accelerator", "tcg", "--isolation", "none", "--json", "-n", "-v", "--", "sh", "-c", "true");
        Assert.Equal(["sh", "-c", "true"], request.Command);
        Assert.Equal(("other", 2048, 512), (request.Spec.Image, request.Spec.MemoryMib, request.Spec.PidsMax));
        Assert.Equal((AcceleratorChoice.Tcg, IsolationLevel.None), (request.Host.Accelerator, request.Host.Isolation.Level));
        Assert.Equal((TimeSpan.FromSeconds(90), "/tmp", "1000:1000"), (request.Exec.Timeout, request.Exec.WorkingDirectory, request.Exec.User));
        Assert.Equal([new("A", "1"), new("B", "2")], request.Exec.EnvironmentVariables!.OrderBy(static pair => pair.Key));
        Assert.False(request.PassInput);
        Assert.True(request.Json && request.Verbose);
    }

    [Theory]
    [InlineData(new[] { "run", "python3", "-c", "print(1)" }, new[] { "python3", "-c", "print(1)" })]
    [InlineData(new[] { "run", "--", "-odd-name" }, new[] { "-odd-name" })]
    [InlineData(new[] { "run", "ls", "--json", "--help", "--", "-v" }, new[] { "ls", "--json", "--help", "--", "-v" })]
    [InlineData(new[] { "run", "--", "--", "x" }, new[] { "--", "x" })]
    [InlineData(new[] { "run", "--json", "true" }, new[] { "true" })]
    [InlineData(new[] { "run", "-m", "1g", "run", "image" }, new[] { "run", "image" })]
    [InlineData(new[] { "run", "--memory=1g", "@file", "[suggest]" }, new[] { "@file", "[suggest]" })]
    [InlineData(new[] { "run", "echo", "", " " }, new[] { "echo", "", " " })]
    [InlineData(new[] { "-v", "run", "ls" }, new[] { "ls" })]
    public void Run_Command_IsEverythingFromTheFirstThatIsNoOption(string[] arguments, string[] command) =>
        Assert.Equal(command, Read(arguments).Command);

    [Theory]
    [InlineData("exec", "-it", "sb-1a2b3c4d", "--", "ls", "-la")]
    [InlineData("exec", "-it", "sb-1a2b3c4d", "ls", "-la")]
    [InlineData("exec", "sb-1a2b3c4d", "-ti", "--", "ls", "-la")]
    public void Exec_FlagsInOne_AreAllOfThemAndTheCommandsAreItsOwn(params string[] arguments)
    {
        using var signals = new TerminationSignals();
        ParseResult parsed = CommandLine.Parse(arguments, new CommandContext(signals, new ErrorWriter(static _ => { }, debug: false)));
        Assert.Empty(parsed.Errors);
        Assert.True(parsed.GetValue<bool>("--interactive") && parsed.GetValue<bool>("--tty"));
        Assert.Equal(("sb-1a2b3c4d", "ls -la"), (parsed.GetValue<string>("SANDBOX"), string.Join(' ', parsed.GetValue<string[]>("COMMAND")!)));
    }

    [Fact]
    public void Run_OptionsAfterTheCommand_AreNotItsOwn() => Assert.False(Read("run", "ls", "--json").Json);

    private static RunRequest Read(params string[] arguments)
    {
        using var signals = new TerminationSignals();
        ParseResult parsed = CommandLine.Parse(arguments, new CommandContext(signals, new ErrorWriter(static _ => { }, debug: false)));
        Assert.Empty(parsed.Errors);
        return Assert.IsType<RunCommand>(parsed.CommandResult.Command).Read(parsed);
    }
}
