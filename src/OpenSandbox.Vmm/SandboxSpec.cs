using System.Collections.ObjectModel;

namespace OpenSandbox.Vmm;

/// <summary>What a sandbox is made of. Immutable; use <c>with</c> for variations.</summary>
public sealed record SandboxSpec
{
    /// <summary>Name or digest of the root file system image; <see langword="null"/>: none, for measuring. Default: <c>default</c>.</summary>
    public string? Image { get; init; } = "default";

    /// <summary>
    /// RAM, MiB: 256 to <see cref="SandboxHostOptions.MaxMemoryMib"/>, a multiple of 128. Below the golden snapshot's RAM it is a limit on
    /// the sandbox's processes; above, memory is plugged in. Default: the golden snapshot's.
    /// </summary>
    public int? MemoryMib { get; init; }

    /// <summary>Largest number of processes and threads, 8 to 65,536. Default: 128.</summary>
    public int PidsMax { get; init; } = 128;

    /// <summary>CPU limit in percent of one CPU, 1 to 100 times the vCPUs. Default: 80 percent of all of them.</summary>
    public int? CpuMaxPercent { get; init; }

    /// <summary>
    /// CPU time that its QEMU may use, translation and devices included, in percent of one CPU, 1 to 25,600: a limit of the host's, out of the
    /// guest's reach. Needs <see cref="IsolationControl.CpuLimit"/>. Default: <see langword="null"/>, only the guest's own limit.
    /// </summary>
    public int? HostCpuMaxPercent { get; init; }

    /// <summary>
    /// What must stand between its QEMU and the host, on top of <see cref="SandboxHostOptions.Isolation"/>; kept with the sandbox when it is
    /// saved. Default: <see langword="null"/>, no more than that.
    /// </summary>
    public IsolationRequirement? Isolation { get; init; }

    /// <summary>Whether there is a disk of its own at <c>/workspace</c>. Default: yes, where there is an image.</summary>
    public bool Workspace { get; init; } = true;

    /// <summary>Environment of every command, above the image's and below the command's own. Default: empty.</summary>
    public IReadOnlyDictionary<string, string> EnvironmentVariables { get; init; } = ReadOnlyDictionary<string, string>.Empty;

    /// <summary>What its VM lives as long as. Default: <see cref="SandboxLifetime.Attached"/>.</summary>
    public SandboxLifetime Lifetime { get; init; }

    /// <summary>Host name, 1 to 63 letters, digits and hyphens. Default: the sandbox's id.</summary>
    public string? Hostname { get; init; }

    /// <summary>What the guest may reach. Default: <see cref="EgressPolicy.AllowPublic"/>.</summary>
    public EgressPolicy Egress { get; init; } = EgressPolicy.AllowPublic;

    /// <summary>How much network the guest may use. Default: see <see cref="EgressLimits"/>.</summary>
    public EgressLimits EgressLimits { get; init; } = new();

    /// <summary>
    /// Memory up to which the sandbox's own processes may scale it through the metadata service, MiB: 256 to
    /// <see cref="SandboxHostOptions.MaxMemoryMib"/>. Default: <see langword="null"/>, they may not.
    /// </summary>
    public int? MaxGuestScaleMib { get; init; }

    /// <summary>
    /// What the metadata service tells the sandbox's processes about it, beside <c>region</c> and <c>template</c>, which may be replaced: at
    /// most 64 entries, names of 1 to 128 bytes, values of up to 1,024, 16 KiB together. Default: empty.
    /// </summary>
    public IReadOnlyDictionary<string, string> Metadata { get; init; } = ReadOnlyDictionary<string, string>.Empty;

    /// <summary>
    /// What its owner wants to find it by; the guest is not told. At most 64 entries, names of 1 to 128 bytes, values of up to 1,024.
    /// Default: empty.
    /// </summary>
    public IReadOnlyDictionary<string, string> Labels { get; init; } = ReadOnlyDictionary<string, string>.Empty;

    /// <summary>When its time is up, and whether using it wakes it. Default: <see cref="SandboxExpiry.Never"/>.</summary>
    public SandboxExpiry Expiry { get; init; } = SandboxExpiry.Never;

    internal void Validate(SandboxHostOptions options)
    {
        ArgumentNullException.ThrowIfNull(Expiry);
        Expiry.Validate(options.TimeProvider.GetUtcNow());
        if (MemoryMib is int memory)
        {
            if (memory < 256 || memory > options.MaxMemoryMib || memory % 128 != 0)
            {
                throw new ArgumentException(
                    $"memory of {memory} MiB: it must be a multiple of 128 from 256 to {options.MaxMemoryMib} (SandboxHostOptions.MaxMemoryMib)",
                    nameof(MemoryMib));
            }
        }

        if (PidsMax is < 8 or > 65_536)
        {
            throw new ArgumentException($"a limit of {PidsMax} processes: it must be from 8 to 65,536", nameof(PidsMax));
        }

        if (CpuMaxPercent is int cpu && (cpu < 1 || cpu > 100 * options.VcpuCount))
        {
            throw new ArgumentException(
                $"a CPU limit of {cpu} percent: it must be from 1 to {100 * options.VcpuCount} (100 per vCPU)", nameof(CpuMaxPercent));
        }

        if (HostCpuMaxPercent is < 1 or > 25_600)
        {
            throw new ArgumentException($"a CPU limit of {HostCpuMaxPercent} percent on the host: it must be from 1 to 25,600", nameof(HostCpuMaxPercent));
        }

        if (Hostname is not null
            && (Hostname.Length is 0 or > 63 || Hostname[0] == '-' || !Hostname.All(static c => char.IsAsciiLetterOrDigit(c) || c == '-')))
        {
            throw new ArgumentException($"host name '{Hostname}': 1 to 63 letters, digits and hyphens", nameof(Hostname));
        }

        if (!Enum.IsDefined(Lifetime) || (Lifetime == SandboxLifetime.Detached && Image is null))
        {
            throw new ArgumentException($"a lifetime of {Lifetime}: Attached, or Detached for a sandbox that has an image", nameof(Lifetime));
        }

        ArgumentNullException.ThrowIfNull(Egress);
        ArgumentNullException.ThrowIfNull(EgressLimits);
        EgressLimits.Validate();

        if (MaxGuestScaleMib is int largest && (largest < SandboxResize.MinMemoryMib || largest > options.MaxMemoryMib))
        {
            throw new ArgumentException(
                $"scaling from inside up to {largest} MiB: it must be from {SandboxResize.MinMemoryMib} to {options.MaxMemoryMib} "
                    + "(SandboxHostOptions.MaxMemoryMib)",
                nameof(MaxGuestScaleMib));
        }

        ArgumentNullException.ThrowIfNull(Metadata);
        GuestText.ValidateMetadata(Metadata);
        State.SandboxLabels.Validate(Labels);
        ArgumentNullException.ThrowIfNull(EnvironmentVariables);
        GuestText.ValidateEnvironment(EnvironmentVariables);
    }
}
