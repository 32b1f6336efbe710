using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.Snapshots;

namespace OpenSandbox.Vmm.Lifecycle;

/// <summary>What a machine is started from.</summary>
/// <param name="Id">The sandbox's id.</param>
/// <param name="Spec">What the sandbox is made of.</param>
/// <param name="Golden">The golden snapshot that its RAM is a copy of.</param>
/// <param name="Disks">Its disks.</param>
internal sealed record MachineStart(string Id, SandboxSpec Spec, GoldenImage Golden, SandboxDisks Disks)
{
    /// <summary>What its guest has done since the golden snapshot. Default: nothing, it is a new sandbox.</summary>
    internal IMachineMemory? Memory { get; init; }

    /// <summary>Limits other than the spec's, in force when the memory was saved.</summary>
    internal SandboxLimits? Limits { get; init; }

    /// <summary>Its memory as it was saved, MiB, plugged memory included. Default: the spec's.</summary>
    internal int? MemoryMib { get; init; }

    /// <summary>Whether the guest is to become another one than the one that was saved: machine id and host name.</summary>
    internal bool RenewIdentity { get; init; }

    /// <summary>A first command, sent along.</summary>
    internal OpenRequest? First { get; init; }

    /// <summary>Makes the machine survive this process. Default: it ends with it.</summary>
    internal VmDetachment? Detached { get; init; }
}
