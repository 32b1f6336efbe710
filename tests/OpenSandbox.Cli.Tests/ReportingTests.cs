using System.Text;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Tests;

public sealed class ReportingTests
{
    [Fact]
    public void Errors_Failure_IsOneLineWithoutControlCharacters() => Assert.Equal(
        "opensandbox: bad?[31m name: because\n", Written(static errors => errors.Failure(new CliException("bad\u001b[31m name: because")), debug: false));

    [Fact]
    public void Errors_FailureWithMoreLines_ShowsTheFirstAndSaysThatThereIsMore() => Assert.Equal(
        "opensandbox: it broke (-v shows more)\n", Written(static errors => errors.Failure(new CliException("it broke\nQEMU said: x")), debug: false));

    [Fact]
    public void Errors_Debug_ShowsTheStack()
    {
        string text = Written(
            static errors =>
            {
                try
                {
                    throw new CliException("it broke");
                }
                catch (CliException failure)
                {
                    errors.Failure(failure);
                }
            },
            debug: true);
        Assert.StartsWith("opensandbox: it broke\n", text, StringComparison.Ordinal);
        Assert.Contains(" at OpenSandbox.Cli.Tests.ReportingTests", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Errors_LibrarysArgumentException_DoesNotNameTheParameter() =>
        Assert.Equal("user 'a b': a name", ErrorWriter.Describe(new ArgumentException("user 'a b': a name", "User")));

    [Fact]
    public void Errors_StandardErrorClosed_LosesTheMessageOnly() =>
        new ErrorWriter(static _ => throw new BrokenPipeException(), debug: false).Line("nobody hears this");

    [Theory]
    [InlineData(0, null, false, 0)]
    [InlineData(3, null, false, 3)]
    [InlineData(143, 15, false, 143)]
    [InlineData(137, 9, true, 124)]
    public void ExitCode_OfACommand_IsItsOwnUnlessItsTimeWasUp(int code, int? signal, bool timedOut, int expected) =>
        Assert.Equal(expected, CommandRun.CodeOf(new SandboxProcessExit(code, signal, timedOut, false, false, TimeSpan.Zero, null)));

    [Theory]
    [InlineData(SandboxErrorCode.NotFound, 2, ProcessStartStep.Program, 127)]
    [InlineData(SandboxErrorCode.PermissionDenied, 13, ProcessStartStep.Program, 126)]
    [InlineData(SandboxErrorCode.OperationFailed, 8, ProcessStartStep.Program, 126)]
    [InlineData(SandboxErrorCode.NotFound, 2, ProcessStartStep.WorkingDirectory, 125)]
    [InlineData(SandboxErrorCode.PermissionDenied, 13, ProcessStartStep.WorkingDirectory, 125)]
    [InlineData(SandboxErrorCode.InvalidRequest, 0, ProcessStartStep.User, 125)]
    [InlineData(SandboxErrorCode.LimitReached, 11, ProcessStartStep.Fork, 125)]
    [InlineData(SandboxErrorCode.NotFound, 2, null, 125)]
    public void ExitCode_OfACommandThatDidNotStart_TellsWhy(SandboxErrorCode code, int errno, ProcessStartStep? step, int expected) =>
        Assert.Equal(expected, CommandRun.CodeOfStart(code, errno, step));

    [Fact]
    public void ExitCode_OfOurOwnFailures_SaysWhoIsToBlame()
    {
        Assert.Equal(2, CommandRun.CodeOf(new UsageException("")));
        Assert.Equal(2, CommandRun.CodeOf(new ArgumentException("")));
        Assert.Equal(125, CommandRun.CodeOf(new CliException("")));
        Assert.Equal(125, CommandRun.CodeOf(new IOException("")));
    }

    [Fact]
    public void Report_TextAndBytes_AreTextAndBase64()
    {
        var captured = new CapturingSink();
        captured.Write(isError: false, "é\u0001\n"u8);
        captured.Write(isError: true, [0xff, 0x00]);
        var exit = new SandboxProcessExit(139, 11, false, true, false, TimeSpan.FromMilliseconds(12.34), TimeSpan.FromMilliseconds(5));
        Assert.Equal(
            """{"exitCode":139,"signal":11,"timedOut":false,"outOfMemory":true,"stdout":"é\u0001\n","stderrBase64":"/wA=","truncated":false,"timings":{"hostMs":0,"imagesMs":0,"createMs":0,"executeMs":0,"commandMs":12.3,"commandCpuMs":5}}""" + "\n",
            Encoding.UTF8.GetString(RunReport.Write(exit, 139, captured, new RunTimings())));
    }

    [Fact]
    public void Report_OfAFailure_HasCodeAndMessage() => Assert.Equal(
        """{"exitCode":125,"signal":null,"timedOut":false,"outOfMemory":false,"truncated":false,"error":{"code":"Failed","message":"no 'x'"}}""" + "\n",
        Encoding.UTF8.GetString(RunReport.Write(new CliException("no 'x'"), 125)));

    [Fact]
    public void Report_OutputBeyondTheLimit_IsCutAtACharacter()
    {
        var captured = new CapturingSink(limit: 4);
        captured.Write(isError: false, "aaé"u8);
        captured.Write(isError: false, "b"u8);
        Assert.True(captured.OutputTruncated);
        Assert.False(captured.ErrorTruncated);
        var split = new CapturingSink(limit: 3);
        split.Write(isError: false, "aaé"u8);
        Assert.Equal(("aa", null), RunReport.Encode(split.Output.Span, split.OutputTruncated));
        Assert.Equal((null, Convert.ToBase64String(split.Output.Span)), RunReport.Encode(split.Output.Span, truncated: false));
    }

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(1023, "1023 B")]
    [InlineData(1536, "1.5 KiB")]
    [InlineData(8L << 30, "8 GiB")]
    [InlineData(271_000_000, "258 MiB")]
    public void Bytes_AreReadable(long bytes, string expected) => Assert.Equal(expected, TextTable.Bytes(bytes));

    [Fact]
    public async Task Steps_InAPipe_AreLines()
    {
        string text = "";
        var steps = new Steps(new ErrorWriter(bytes => text += Encoding.UTF8.GetString(bytes), debug: false), terminal: false);
        steps.Begin("first");
        steps.Detail("half");
        steps.Begin("second");
        steps.End(succeeded: false);
        await steps.DisposeAsync();
        Assert.Matches(@"\Aopensandbox: first \.\.\.\nopensandbox: half\nopensandbox: first: done \(\d+\.\d s\)\nopensandbox: second \.\.\.\n\z", text);
    }

    private static string Written(Action<ErrorWriter> write, bool debug)
    {
        var text = new StringBuilder();
        write(new ErrorWriter(bytes => text.Append(Encoding.UTF8.GetString(bytes)), debug));
        return text.ToString();
    }
}
