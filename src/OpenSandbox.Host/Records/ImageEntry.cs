using System.Text.Json;

namespace OpenSandbox.Host.Records;

/// <summary>An image that has been built: a checkpoint of the sandbox that it was built in. Immutable.</summary>
internal sealed record ImageEntry
{
    internal const int CurrentFormat = 1;

    public int Format { get; init; } = CurrentFormat;

    /// <summary>SHA-256, hexadecimal, of its base and steps.</summary>
    public required string Hash { get; init; }

    /// <summary>The library's id of the checkpoint.</summary>
    public required string CheckpointId { get; init; }

    public required JsonElement Manifest { get; init; }

    public Dictionary<string, string> Environment { get; init; } = [];

    public string? WorkingDirectory { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When a sandbox was made of it, to the hour.</summary>
    public required DateTimeOffset LastUsedAt { get; init; }
}
