namespace OpenSandbox.Cgroups;

/// <summary>Limits of a cgroup. What is absent stays as it is.</summary>
public sealed record CgroupLimits
{
    /// <summary>Largest number of processes and threads, at least 1.</summary>
    public int? PidsMax { get; init; }

    /// <summary>Largest amount of memory, bytes, at least one page.</summary>
    public long? MemoryMaxBytes { get; init; }

    /// <summary>CPU time, percent of one CPU, 1 or more: 150 is one and a half CPUs.</summary>
    public int? CpuMaxPercent { get; init; }

    /// <summary>When the kernel runs out of this group's memory it kills all of the group, not one process of it.</summary>
    public bool? KillTogether { get; init; }
}
