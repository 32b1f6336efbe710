namespace OpenSandbox.Host.Api;

/// <summary>A command that is attached to by WebSocket.</summary>
internal sealed record SessionReply
{
    public required string SessionID { get; init; }

    public required string SandboxID { get; init; }

    public string? Command { get; init; }

    public string[]? Args { get; init; }

    public bool? Running { get; init; }

    public int? ExitCode { get; init; }

    public DateTimeOffset? StartedAt { get; init; }

    public int? AttachedClients { get; init; }
}
