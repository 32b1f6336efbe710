namespace OpenSandbox.VirtioSerial;

/// <summary>Result of <see cref="Operations.Usage"/>: all user processes together, from the files of their cgroup.</summary>
public sealed record UsageResult
{
    /// <summary>CPU time, microseconds.</summary>
    public long CpuMicroseconds { get; init; }

    /// <summary><c>memory.current</c>, bytes.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary><c>memory.peak</c>, bytes.</summary>
    public long? MemoryPeakBytes { get; init; }

    /// <summary><c>memory.max</c>, bytes; absent: no limit.</summary>
    public long? MemoryLimitBytes { get; init; }

    /// <summary><c>pids.current</c>.</summary>
    public long? Pids { get; init; }

    /// <summary><c>pids.max</c>; absent: no limit.</summary>
    public long? PidsLimit { get; init; }

    /// <summary>Bytes read from disks, where the kernel counts them.</summary>
    public long? ReadBytes { get; init; }

    /// <summary>Bytes written to disks, where the kernel counts them.</summary>
    public long? WrittenBytes { get; init; }

    /// <summary>Processes killed for lack of memory.</summary>
    public long OutOfMemoryKills { get; init; }

    /// <summary>Forks that <c>pids.max</c> refused.</summary>
    public long RefusedForks { get; init; }
}
