using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Lifecycle;

/// <summary>How the disks of a sandbox stand in its manifests.</summary>
internal static class Chains
{
    /// <summary>Describes the disks of a running machine: what lies below is frozen durably, the active layers are only named.</summary>
    /// <param name="disks">The disks; their active layers have names.</param>
    /// <param name="store">Where to.</param>
    /// <param name="lease">A lease of it, held until a manifest names the layers.</param>
    /// <param name="pending">The layer that a disk is being moved to.</param>
    /// <exception cref="IOException">A layer could not be made durable.</exception>
    internal static DiskChains Describe(
        SandboxDisks disks, StateStore store, StateLease lease, Func<SandboxDisk, DiskLayer?>? pending = null)
    {
        return new DiskChains { Rootfs = Describe(disks.Rootfs), Workspace = Describe(disks.Workspace) };

        DiskChain? Describe(SandboxDisk? disk) => disk is null
            ? null
            : new DiskChain
            {
                ImageDigest = disk.Below.ImageDigest,
                VirtualBytes = disk.Below.VirtualBytes,
                Layers =
                [
                    .. disk.Below.Layers.Select(layer => layer.Save(store, lease)),
                    new LayerRef { Id = disk.Active.Id ?? throw new InvalidOperationException("the active layer has no name") },
                ],
                Pending = pending?.Invoke(disk)?.Id,
            };
    }

    /// <summary>Describes the disks of a machine that is gone: every layer is frozen, with one that it may have been moved to on top.</summary>
    /// <exception cref="IOException">A layer is missing, or could not be made durable.</exception>
    internal static DiskChains Settle(DiskChains chains, StateStore store)
    {
        return new DiskChains { Rootfs = Settle(chains.Rootfs), Workspace = Settle(chains.Workspace) };

        DiskChain? Settle(DiskChain? chain) => chain is null
            ? null
            : chain with
            {
                Pending = null,
                Layers =
                [
                    .. chain.Layers.Select(layer => layer.File is null ? store.FreezeLayer(layer.Id) : layer),
                    .. chain.Pending is string pending ? [store.FreezeLayer(pending)] : Array.Empty<LayerRef>(),
                ],
            };
    }

    /// <summary>
    /// Adds the digests that another description of the same layers has: they are computed when both have been written, and written down in
    /// the snapshot alone.
    /// </summary>
    internal static DiskChains AddDigests(DiskChains chains, DiskChains digested)
    {
        Dictionary<string, SavedFile> known = [];
        foreach (LayerRef layer in digested.All().SelectMany(static chain => chain.Layers))
        {
            if (layer.File is { Sha256: not null } file)
            {
                known[layer.Id] = file;
            }
        }

        return new DiskChains { Rootfs = Add(chains.Rootfs), Workspace = Add(chains.Workspace) };

        DiskChain? Add(DiskChain? chain) => chain is null
            ? null
            : chain with
            {
                Layers =
                [
                    .. chain.Layers.Select(layer => layer.File is { Sha256: null } file
                        && known.TryGetValue(layer.Id, out SavedFile? same) && same.Stamp == file.Stamp
                            ? layer with { File = same }
                            : layer),
                ],
            };
    }

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
