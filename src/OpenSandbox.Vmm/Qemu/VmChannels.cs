namespace OpenSandbox.Vmm.Qemu;

/// <summary>Numbers of the descriptors for RAM, hot-plugged RAM and character devices in the child.</summary>
internal readonly record struct VmChannels(int Ram, int PluggedRam, int Qmp, int Control, int Bulk, int Network, int Console);
