namespace OpenSandbox.VirtioSerial;

/// <summary>cgroup v2 limits that the agent sets on <c>/sandbox</c>. What absence means is said for the resume; later it means no change.</summary>
public sealed record GuestLimits
{
    /// <summary><c>pids.max</c>; absent: 128.</summary>
    public int? PidsMax { get; init; }

    /// <summary><c>memory.max</c>, bytes; absent, or more than that: 90 % of the guest's RAM.</summary>
    public long? MemoryMaxBytes { get; init; }

    /// <summary><c>cpu.max</c>, percent of one CPU; absent: 80 % of all vCPUs.</summary>
    public int? CpuMaxPercent { get; init; }
}
