using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>A change under way: written before its first step, so that the next host knows what was interrupted.</summary>
internal sealed record OperationRecord
{
    /// <summary>Which one.</summary>
    [JsonRequired]
    public OperationKind Kind { get; init; }

    /// <summary>The snapshot that it makes or uses.</summary>
    public string? SnapshotId { get; init; }

    /// <summary>When it began, UTC.</summary>
    [JsonRequired]
    public DateTimeOffset StartedAt { get; init; }

    internal void Validate(string field)
    {
        ManifestRules.Require(Enum.IsDefined(Kind), $"{field}.kind", $"{Kind} is none");
        ManifestRules.Require(SnapshotId is null || StateIds.IsSnapshot(SnapshotId), $"{field}.snapshotId", "it is not sn- and 16 hexadecimal digits");
        ManifestRules.Utc(StartedAt, $"{field}.startedAt");
    }
}
