namespace OpenSandbox.Host.Api;

/// <summary>How a command that was started with <c>run-async</c> stands.</summary>
internal sealed record ExecResultReply
{
    public required bool Running { get; init; }

    public int? ExitCode { get; init; }

    public required string Stdout { get; init; }

    public required string Stderr { get; init; }

    public bool? Truncated { get; init; }

    public string? Error { get; init; }

    public long? CommandMs { get; init; }
}
