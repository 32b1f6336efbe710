using System.Text.Json;

namespace OpenSandbox.Host.Records;

/// <summary>An image that has a name. Immutable.</summary>
internal sealed record SnapshotEntry
{
    internal const int CurrentFormat = 1;
    internal const string Building = "building";
    internal const string Ready = "ready";
    internal const string Failed = "failed";

    public int Format { get; init; } = CurrentFormat;

    public required string Id { get; init; }

    public required string Name { get; init; }

    public required string Hash { get; init; }

    public required JsonElement Manifest { get; init; }

    public required string Status { get; init; }

    public string? Error { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
}
