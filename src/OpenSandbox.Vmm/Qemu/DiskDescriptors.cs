namespace OpenSandbox.Vmm.Qemu;

/// <summary>Numbers of one disk's descriptors in the child: the writable qcow2 overlay and the raw, read-only base below it.</summary>
internal readonly record struct DiskDescriptors(int Overlay, int Base);
