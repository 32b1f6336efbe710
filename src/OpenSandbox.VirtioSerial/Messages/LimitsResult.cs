namespace OpenSandbox.VirtioSerial;

/// <summary>Result of <see cref="Operations.Limits"/>: what is in force now, read from the kernel.</summary>
public sealed record LimitsResult
{
    /// <summary>Whether what was asked for has been done; if not, no limit was changed.</summary>
    public bool Done { get; init; }

    /// <summary>Bytes that processes would have to give back first; 0 unless the request was refused because of them.</summary>
    public long ShortfallBytes { get; init; }

    /// <summary><c>MemTotal</c>, bytes.</summary>
    public long MemoryBytes { get; init; }

    /// <summary>Of that, bytes that came by hot-plugging.</summary>
    public long PluggedMemoryBytes { get; init; }

    /// <summary>Bytes that the sandbox's processes hold and the kernel cannot reclaim.</summary>
    public long MemoryInUseBytes { get; init; }

    /// <summary><c>memory.max</c>, bytes; absent: none.</summary>
    public long? MemoryMaxBytes { get; init; }

    /// <summary><c>cpu.max</c>, percent of one CPU; absent: none.</summary>
    public int? CpuMaxPercent { get; init; }

    /// <summary><c>pids.max</c>; absent: none.</summary>
    public int? PidsMax { get; init; }
}
