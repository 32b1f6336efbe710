namespace OpenSandbox.Cli.Control;

/// <summary>Why an operation failed.</summary>
internal sealed record ControlFailure
{
    /// <summary>A stable name: one of the library's error codes, or <c>Failed</c>, <c>Usage</c>.</summary>
    public required string Code { get; init; }

    /// <summary>For people.</summary>
    public required string Message { get; init; }

    /// <summary>The guest kernel's error number; 0 when none was involved.</summary>
    public int Errno { get; init; }

    /// <summary>The step that failed, where the guest names one.</summary>
    public string? Step { get; init; }

    /// <summary>What belongs to it but not on one line.</summary>
    public string? Detail { get; init; }
}
