namespace OpenSandbox.Vmm.State;

/// <summary>What a sweep did.</summary>
internal sealed record SweepReport
{
    /// <summary>What is gone.</summary>
    public required IReadOnlyList<SweepEntry> Removed { get; init; }

    /// <summary>What stayed although nothing, or nothing that can be read, needs it; or could not be removed.</summary>
    public required IReadOnlyList<SweepEntry> Kept { get; init; }

    /// <summary>What could not be read. While there is any, nothing is removed that it might name.</summary>
    public required IReadOnlyList<DamagedEntry> Damaged { get; init; }

    /// <summary>Bytes on the disk that were freed.</summary>
    public long FreedBytes => Removed.Sum(static entry => entry.Bytes);
}
