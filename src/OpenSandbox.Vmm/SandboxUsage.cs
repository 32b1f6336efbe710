namespace OpenSandbox.Vmm;

/// <summary>What all processes of a sandbox use together. The guest's kernel counts; what it does not count is <see langword="null"/>.</summary>
public sealed record SandboxUsage
{
    /// <summary>CPU time since the sandbox was made.</summary>
    public required TimeSpan CpuTime { get; init; }

    /// <summary>Memory in use, caches of files included, bytes.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>Largest value of <see cref="MemoryBytes"/> so far.</summary>
    public long? MemoryPeakBytes { get; init; }

    /// <summary>Limit of <see cref="MemoryBytes"/>; <see langword="null"/>: none.</summary>
    public long? MemoryLimitBytes { get; init; }

    /// <summary>Processes and threads.</summary>
    public long? Processes { get; init; }

    /// <summary>Limit of <see cref="Processes"/>; <see langword="null"/>: none.</summary>
    public long? ProcessLimit { get; init; }

    /// <summary>Bytes read from the sandbox's disks.</summary>
    public long? DiskReadBytes { get; init; }

    /// <summary>Bytes written to the sandbox's disks.</summary>
    public long? DiskWrittenBytes { get; init; }

    /// <summary>Processes killed for lack of memory since the sandbox was made.</summary>
    public long OutOfMemoryKills { get; init; }

    /// <summary>Forks refused because of <see cref="ProcessLimit"/> since the sandbox was made.</summary>
    public long RefusedForks { get; init; }
}
