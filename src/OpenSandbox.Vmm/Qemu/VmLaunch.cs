using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>One start of QEMU.</summary>
/// <param name="Name">For messages: a sandbox id, or "golden builder".</param>
/// <param name="Shape">The machine.</param>
/// <param name="Ram">The RAM's memfd.</param>
/// <param name="BuildArguments">Adds what else it needs to the descriptors, and returns QEMU's arguments.</param>
/// <param name="Detached">Makes the VM survive this process; none: it ends with it.</param>
internal sealed record VmLaunch(
    string Name, VmShape Shape, SafeFileHandle Ram, Func<VmDescriptors, VmChannels, List<string>> BuildArguments,
    VmDetachment? Detached = null)
{
    /// <summary>Whether the guest has talked to a host before, in a life that was saved. Default: no.</summary>
    internal bool Reconnect { get; init; }

    /// <summary>What must confine it. Default: the host's.</summary>
    internal IsolationRequirement? Isolation { get; init; }

    /// <summary>Hot-plugged memory that its host cgroup allows at first, bytes. Default: none.</summary>
    internal long AllowedPluggedBytes { get; init; }

    /// <summary>CPU time that its host cgroup allows, percent of one CPU. Default: any.</summary>
    internal int? HostCpuMaxPercent { get; init; }

    /// <summary>Hot-plugged RAM with something in it; the caller's. Default: the machine gets an empty one.</summary>
    internal SafeFileHandle? PluggedRam { get; init; }
}
