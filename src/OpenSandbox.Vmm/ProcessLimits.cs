namespace OpenSandbox.Vmm;

/// <summary>Resource limits (setrlimit) of one process, inherited by its children, each counting for itself. Default: none of them.</summary>
public sealed record ProcessLimits
{
    /// <summary>CPU time, 1 second or more, whole seconds: SIGXCPU then, and SIGKILL one second later.</summary>
    public TimeSpan? CpuTime { get; init; }

    /// <summary>Address space, bytes, at least 1: allocations beyond fail.</summary>
    public long? AddressSpaceBytes { get; init; }

    /// <summary>Largest file that it can write, bytes, at least 0: SIGXFSZ beyond.</summary>
    public long? FileSizeBytes { get; init; }

    /// <summary>Open files, 3 to 1,048,576. Default: 65,536.</summary>
    public int? OpenFiles { get; init; }

    internal void Validate()
    {
        if (CpuTime is TimeSpan cpu && (cpu < TimeSpan.FromSeconds(1) || cpu > TimeSpan.FromDays(366) || cpu.Ticks % TimeSpan.TicksPerSecond != 0))
        {
            throw new ArgumentOutOfRangeException(nameof(CpuTime), cpu, "CPU time: whole seconds, from 1 second to 366 days.");
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(AddressSpaceBytes ?? 1, 1, nameof(AddressSpaceBytes));
        ArgumentOutOfRangeException.ThrowIfNegative(FileSizeBytes ?? 0, nameof(FileSizeBytes));
        ArgumentOutOfRangeException.ThrowIfLessThan(OpenFiles ?? 3, 3, nameof(OpenFiles));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(OpenFiles ?? 3, 1 << 20, nameof(OpenFiles));
    }
}
