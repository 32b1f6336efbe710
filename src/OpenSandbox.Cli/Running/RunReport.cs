using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Unicode;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Running;

/// <summary>The JSON object that <c>run --json</c> prints. Fields are only ever added.</summary>
internal sealed record RunReport
{
    /// <summary>What the program exits with; see <c>run --help</c>.</summary>
    public required int ExitCode { get; init; }

    /// <summary>The signal that ended the command.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public int? Signal { get; init; }

    /// <summary>The command's time was up.</summary>
    public bool TimedOut { get; init; }

    /// <summary>The kernel killed the command, or a child of it, for lack of memory.</summary>
    public bool OutOfMemory { get; init; }

    /// <summary>Standard output, if it is UTF-8.</summary>
    public string? Stdout { get; init; }

    /// <summary>Standard output in base64, if it is not UTF-8.</summary>
    public string? StdoutBase64 { get; init; }

    /// <summary>Standard error, if it is UTF-8.</summary>
    public string? Stderr { get; init; }

    /// <summary>Standard error in base64, if it is not UTF-8.</summary>
    public string? StderrBase64 { get; init; }

    /// <summary>Output beyond 16 MiB was dropped.</summary>
    public bool Truncated { get; init; }

    /// <summary>How long it took.</summary>
    public RunReportTimings? Timings { get; init; }

    /// <summary>The sandbox, where it is kept.</summary>
    public string? SandboxId { get; init; }

    /// <summary>Why the command was not run, or not to its end; the fields about its end mean nothing then.</summary>
    public RunReportError? Error { get; init; }

    /// <summary>The report of a command that has run, as one line.</summary>
    internal static byte[] Write(SandboxProcessExit exit, int code, CapturingSink captured, RunTimings times, string? keptId = null)
    {
        (string? output, string? outputBase64) = Encode(captured.Output.Span, captured.OutputTruncated);
        (string? error, string? errorBase64) = Encode(captured.Error.Span, captured.ErrorTruncated);
        return Write(new RunReport
        {
            ExitCode = code,
            Signal = exit.Signal,
            TimedOut = exit.TimedOut,
            OutOfMemory = exit.OutOfMemory,
            Stdout = output,
            StdoutBase64 = outputBase64,
            Stderr = error,
            StderrBase64 = errorBase64,
            Truncated = captured.OutputTruncated || captured.ErrorTruncated,
            SandboxId = keptId,
            Timings = new RunReportTimings
            {
                HostMs = Milliseconds(times.Host),
                ImagesMs = Milliseconds(times.Images),
                CreateMs = Milliseconds(times.Create),
                ExecuteMs = Milliseconds(times.Execute),
                CommandMs = Milliseconds(exit.WallTime),
                CommandCpuMs = exit.CpuTime is TimeSpan cpu ? Milliseconds(cpu) : null,
            },
        });
    }

    /// <summary>The report of a failure of this program, as one line.</summary>
    internal static byte[] Write(Exception failure, int code) => Write(new RunReport
    {
        ExitCode = code,
        Error = new RunReportError
        {
            Code = (failure as SandboxException)?.Code.ToString() ?? (code == ExitCodes.Usage ? "Usage" : "Failed"),
            Message = ErrorWriter.Describe(failure),
        },
    });

    /// <summary>Text where the bytes are UTF-8, base64 otherwise. A character that truncation has cut does not count.</summary>
    internal static (string? Text, string? Base64) Encode(ReadOnlySpan<byte> bytes, bool truncated)
    {
        const int longestCharacter = 4;
        ReadOnlySpan<byte> text = bytes;
        for (int cut = 0; cut < longestCharacter && cut <= bytes.Length; cut++)
        {
            text = bytes[..^cut];
            if (Utf8.IsValid(text))
            {
                return (Encoding.UTF8.GetString(text), null);
            }

            if (!truncated)
            {
                break;
            }
        }

        return (null, Convert.ToBase64String(bytes));
    }

    private static byte[] Write(RunReport report) =>
        [.. JsonSerializer.SerializeToUtf8Bytes(report, CliJsonContext.Readable.RunReport), (byte)'\n'];

    private static double Milliseconds(TimeSpan time) => Math.Round(time.TotalMilliseconds, 1);
}
