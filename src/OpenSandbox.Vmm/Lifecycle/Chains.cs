using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Lifecycle;

/// <summary>How the disks of a sandbox stand in its manifests.</summary>
internal static class Chains
{
    /// <summary>Freezes every layer durably under a name, and describes the disks.</summary>
    /// <exception cref="IOException">A layer could not be made durable.</exception>
    internal static DiskChains Save(FrozenDisks disks, StateStore store, StateLease lease)
    {
        return new DiskChains { Rootfs = Save(disks.Rootfs), Workspace = Save(disks.Workspace) };

        DiskChain? Save(FrozenDisk? disk) => disk is null
            ? null
            : new DiskChain
            {
                ImageDigest = disk.ImageDigest,
                VirtualBytes = disk.VirtualBytes,
                Layers = [.. disk.Layers.Select(layer => layer.Save(store, lease))],
            };
    }
}
