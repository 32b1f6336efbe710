namespace OpenSandbox.Host.Usage;

/// <summary>What was used on one day, UTC, as it is kept in a file.</summary>
internal sealed record UsageDay
{
    internal const int CurrentFormat = 1;

    public int Format { get; init; } = CurrentFormat;

    /// <summary>Up to when it is counted.</summary>
    public required DateTimeOffset CountedUntil { get; init; }

    /// <summary>Which sandboxes were running then.</summary>
    public string[] Running { get; init; } = [];

    /// <summary>For each sandbox the hours in which it ran.</summary>
    public Dictionary<string, UsageHour[]> Sandboxes { get; init; } = new(StringComparer.Ordinal);
}
