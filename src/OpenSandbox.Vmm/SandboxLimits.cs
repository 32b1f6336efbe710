namespace OpenSandbox.Vmm;

/// <summary>Limits that are in force in a sandbox. Immutable.</summary>
public sealed record SandboxLimits
{
    /// <summary>RAM of the sandbox, MiB.</summary>
    public required int MemoryMib { get; init; }

    /// <summary>
    /// What all its processes together may use, bytes: 90 percent of <see cref="GuestMemoryBytes"/>, or of <see cref="MemoryMib"/> where that
    /// is less.
    /// </summary>
    public required long MemoryMaxBytes { get; init; }

    /// <summary>CPU limit of all its processes together, percent of one CPU.</summary>
    public required int CpuPercent { get; init; }

    /// <summary>Largest number of processes and threads.</summary>
    public required int PidsMax { get; init; }

    /// <summary>RAM that the guest's kernel manages (<c>MemTotal</c>), bytes: somewhat below <see cref="MemoryMib"/>.</summary>
    public required long GuestMemoryBytes { get; init; }

    /// <summary>What its processes hold and the kernel cannot reclaim, bytes, when the guest was last asked: no size below that is possible.</summary>
    public long MemoryInUseBytes { get; init; }
}
