namespace OpenSandbox.Vmm.Qemu;

/// <summary>Everything about the virtual machine that must be the same when a snapshot is taken and when it is loaded.</summary>
/// <param name="MachineType">Versioned machine type, never an alias.</param>
/// <param name="Accelerator"><c>kvm</c> or <c>tcg</c>.</param>
/// <param name="VcpuCount">Virtual CPUs.</param>
/// <param name="BaseMemoryMib">RAM of the snapshot.</param>
/// <param name="MaxMemoryMib">RAM up to which memory can be plugged in.</param>
/// <param name="RootfsBytes">Size of the first disk.</param>
/// <param name="WorkspaceBytes">Size of the second disk.</param>
internal sealed record VmShape(
    string MachineType, string Accelerator, int VcpuCount, int BaseMemoryMib, int MaxMemoryMib, long RootfsBytes, long WorkspaceBytes)
{
    /// <summary>Size of both disks unless said otherwise: what the images are made with.</summary>
    internal const long DefaultRootfsBytes = 8L << 30;

    /// <inheritdoc cref="DefaultRootfsBytes"/>
    internal const long DefaultWorkspaceBytes = 16L << 30;

    /// <summary>Size of the region that memory is plugged into, bytes; at least one memory block of the guest's kernel.</summary>
    internal long PluggableBytes => Math.Max((long)(MaxMemoryMib - BaseMemoryMib) << 20, 128L << 20);

    /// <summary>
    /// The CPU model: what the host has, or all that the translator knows but for the "fast string" flags: with them the guest copies
    /// memory by <c>rep movsb</c>, which the translator runs byte by byte (in-guest reads of 64 MiB took 190 ms instead of 45).
    /// </summary>
    internal string CpuModel => Accelerator == "kvm" ? "host" : "max,-erms,-fsrm";
}
