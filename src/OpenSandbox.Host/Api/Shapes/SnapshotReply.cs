using System.Text.Json;

namespace OpenSandbox.Host.Api;

/// <summary>An image, with its name where it has one.</summary>
internal sealed record SnapshotReply
{
    public required string Id { get; init; }

    public string OrgId { get; init; } = "local";

    public string? Name { get; init; }

    public required string ContentHash { get; init; }

    public string? CheckpointId { get; init; }

    public required JsonElement Manifest { get; init; }

    public required string Status { get; init; }

    public string? ErrorMsg { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    public required DateTimeOffset LastUsedAt { get; init; }
}
