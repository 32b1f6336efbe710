namespace OpenSandbox.Host.Api;

/// <summary>A checkpoint.</summary>
internal sealed record CheckpointReply
{
    public required string Id { get; init; }

    public required string SandboxId { get; init; }

    public string OrgId { get; init; } = "local";

    public string? Name { get; init; }

    public required CheckpointConfig SandboxConfig { get; init; }

    public required string Kind { get; init; }

    public string Status { get; init; } = "ready";

    public long SizeBytes { get; init; }

    public bool IsPublic { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
}
