namespace OpenSandbox.Vmm;

/// <summary>New limits for a running sandbox; what is <see langword="null"/> stays as it is. Immutable.</summary>
public sealed record SandboxResize
{
    /// <summary>Smallest memory that a sandbox can have, MiB.</summary>
    internal const int MinMemoryMib = 256;

    /// <summary>Memory sizes are multiples of this, MiB: the guest's kernel takes and gives it block by block.</summary>
    internal const int MemoryStepMib = 128;

    /// <summary>
    /// RAM, MiB: 256 to <see cref="SandboxHostOptions.MaxMemoryMib"/>, a multiple of 128. Below the golden snapshot's RAM it is a limit on
    /// the sandbox's processes; above, memory is plugged in or taken away.
    /// </summary>
    public int? MemoryMib { get; init; }

    /// <summary>
    /// CPU limit in percent of one CPU, 1 to 10,000; more than the VM's virtual CPUs give (100 each) counts as what they give. Default: with
    /// a new <see cref="MemoryMib"/> 100 percent per GiB of it, else as it is.
    /// </summary>
    public int? CpuPercent { get; init; }

    /// <summary>Largest number of processes and threads, 8 to 65,536.</summary>
    public int? PidsMax { get; init; }

    internal void Validate(SandboxHostOptions options)
    {
        if (MemoryMib is int memory && (memory < MinMemoryMib || memory > options.MaxMemoryMib || memory % MemoryStepMib != 0))
        {
            throw new ArgumentException(
                $"memory of {memory} MiB: it must be a multiple of {MemoryStepMib} from {MinMemoryMib} to {options.MaxMemoryMib} "
                    + "(SandboxHostOptions.MaxMemoryMib)",
                nameof(MemoryMib));
        }

        if (CpuPercent is < 1 or > 10_000)
        {
            throw new ArgumentException($"a CPU limit of {CpuPercent} percent: it must be from 1 to 10,000 (100 per CPU)", nameof(CpuPercent));
        }

        if (PidsMax is < 8 or > 65_536)
        {
            throw new ArgumentException($"a limit of {PidsMax} processes: it must be from 8 to 65,536", nameof(PidsMax));
        }
    }
}
