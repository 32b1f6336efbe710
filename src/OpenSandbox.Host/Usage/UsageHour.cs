namespace OpenSandbox.Host.Usage;

/// <summary>What a sandbox has used in one hour of a day, UTC. Immutable.</summary>
internal sealed record UsageHour
{
    /// <summary>0 to 23.</summary>
    public required int Hour { get; init; }

    /// <summary>How long it ran.</summary>
    public double Seconds { get; init; }

    /// <summary>Its size over that time.</summary>
    public double MibSeconds { get; init; }

    /// <summary>What its processes held of it.</summary>
    public double UsedMibSeconds { get; init; }

    /// <summary>Its largest size.</summary>
    public int PeakMib { get; init; }

    /// <summary>The most that they held, of what was seen.</summary>
    public double PeakUsedMib { get; init; }

    /// <summary>Adds a while.</summary>
    internal UsageHour Add(double seconds, int mib, double usedMib) => this with
    {
        Seconds = Seconds + seconds,
        MibSeconds = MibSeconds + seconds * mib,
        UsedMibSeconds = UsedMibSeconds + seconds * usedMib,
        PeakMib = Math.Max(PeakMib, mib),
        PeakUsedMib = Math.Max(PeakUsedMib, usedMib),
    };
}
