namespace OpenSandbox.Vmm.Qemu;

/// <summary>Numbers of the descriptors for RAM, hot-plugged RAM and character devices in the child.</summary>
/// <param name="Ram">The RAM's file.</param>
/// <param name="PluggedRam">The hot-plugged RAM's file.</param>
/// <param name="Qmp">The monitor's socket.</param>
/// <param name="Control">The control port's socket.</param>
/// <param name="Bulk">The bulk port's socket.</param>
/// <param name="Network">The network port's socket.</param>
/// <param name="Console">The serial console's socket.</param>
/// <param name="DetachedName">
/// Name of a detached VM, by which its processes are told from others: its sockets are listening ones. Null: they are connected.
/// </param>
internal readonly record struct VmChannels(
    int Ram, int PluggedRam, int Qmp, int Control, int Bulk, int Network, int Console, string? DetachedName = null);
