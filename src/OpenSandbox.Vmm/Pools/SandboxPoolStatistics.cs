namespace OpenSandbox.Vmm;

/// <summary>A pool at one instant, and what it has done since the host started. Immutable.</summary>
public sealed record SandboxPoolStatistics
{
    /// <summary>The image of its sandboxes; null: none.</summary>
    public required string? Image { get; init; }

    /// <summary>Whether its sandboxes have a workspace.</summary>
    public required bool Workspace { get; init; }

    /// <summary>Hot machines that are ready.</summary>
    public int Hot { get; init; }

    /// <summary>Parked machines that are ready.</summary>
    public int Parked { get; init; }

    /// <summary>How many hot machines there should be now.</summary>
    public int HotTarget { get; init; }

    /// <summary>How many parked machines there should be now.</summary>
    public int ParkedTarget { get; init; }

    /// <summary>Sandboxes that were made from a hot machine.</summary>
    public long HotClaims { get; init; }

    /// <summary>Sandboxes that were made from a parked machine.</summary>
    public long ParkedClaims { get; init; }

    /// <summary>Sandboxes of its kind for which no machine was ready.</summary>
    public long Misses { get; init; }

    /// <summary>Machines that were taken and did not become the sandbox; another one, or a cold start, took their place.</summary>
    public long FailedClaims { get; init; }

    /// <summary>Machines that were started.</summary>
    public long Refills { get; init; }

    /// <summary>Starts that failed.</summary>
    public long FailedRefills { get; init; }

    /// <summary>Machines that were replaced because of <see cref="SandboxPoolOptions.MaxAge"/>.</summary>
    public long DroppedForAge { get; init; }

    /// <summary>Machines that were more than there should be, because demand had gone.</summary>
    public long DroppedAsSurplus { get; init; }

    /// <summary>Machines that were given back because the host's memory ran short.</summary>
    public long DroppedForMemory { get; init; }

    /// <summary>Machines whose image's name points at another content now, or at none.</summary>
    public long DroppedForImage { get; init; }

    /// <summary>Machines whose QEMU ended by itself.</summary>
    public long DroppedAsEnded { get; init; }
}
