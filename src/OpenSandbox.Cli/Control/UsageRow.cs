namespace OpenSandbox.Cli.Control;

/// <summary>What a sandbox uses, as <c>stats --json</c> prints it.</summary>
internal sealed record UsageRow
{
    /// <summary>The sandbox.</summary>
    public required string Id { get; init; }

    /// <summary>When this was asked.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>CPU time since the sandbox was made, milliseconds.</summary>
    public required double CpuMilliseconds { get; init; }

    /// <summary>Percent of one CPU since the time before, where there is one.</summary>
    public double? CpuPercent { get; init; }

    /// <summary>Memory in use, bytes.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>The most so far, bytes.</summary>
    public long? MemoryPeakBytes { get; init; }

    /// <summary>Its limit, bytes.</summary>
    public long? MemoryLimitBytes { get; init; }

    /// <summary>Processes and threads.</summary>
    public long? Processes { get; init; }

    /// <summary>Their limit.</summary>
    public long? ProcessLimit { get; init; }

    /// <summary>Bytes read from its disks.</summary>
    public long? DiskReadBytes { get; init; }

    /// <summary>Bytes written to its disks.</summary>
    public long? DiskWrittenBytes { get; init; }

    /// <summary>Processes killed for lack of memory.</summary>
    public long OutOfMemoryKills { get; init; }

    /// <summary>Forks refused because of the limit.</summary>
    public long RefusedForks { get; init; }
}
