namespace OpenSandbox.Host.Api;

/// <summary>A sandbox that there is or was.</summary>
internal sealed record HistoryReply
{
    public required string Id { get; init; }

    public required string SandboxId { get; init; }

    public required string Template { get; init; }

    public required string Status { get; init; }

    public required DateTimeOffset StartedAt { get; init; }

    public DateTimeOffset? StoppedAt { get; init; }

    public string? ErrorMsg { get; init; }
}
