namespace OpenSandbox.Cli.Running;

/// <summary>Part of <see cref="RunReport"/>: why the command was not run.</summary>
internal sealed record RunReportError
{
    /// <summary>A stable name: one of the library's error codes, <c>Usage</c> or <c>Failed</c>.</summary>
    public required string Code { get; init; }

    /// <summary>For people.</summary>
    public required string Message { get; init; }
}
