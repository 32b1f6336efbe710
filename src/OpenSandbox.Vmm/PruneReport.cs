namespace OpenSandbox.Vmm;

/// <summary>What <see cref="SandboxHost.PruneAsync"/> removed, or would have.</summary>
public sealed record PruneReport
{
    /// <summary>What is gone, or would be.</summary>
    public required IReadOnlyList<PrunedEntry> Removed { get; init; }

    /// <summary>What stayed although nothing, or nothing that can be read, needs it; or could not be removed.</summary>
    public required IReadOnlyList<PrunedEntry> Kept { get; init; }

    /// <summary>What could not be read, each as one sentence. While there is any, nothing is removed that it might need.</summary>
    public required IReadOnlyList<string> Problems { get; init; }

    /// <summary>Bytes on the disk that were freed, or would be.</summary>
    public long FreedBytes => Removed.Sum(static entry => entry.Bytes);
}
