using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Lifecycle;

/// <summary>
/// Merges the layers of a hibernated sandbox's disks when they have become many: each hibernation adds one, and every read of QEMU's may have
/// to look through all of them. Nothing is changed in place: a new layer takes the place of several.
/// </summary>
internal static class Compaction
{
    /// <summary>Chains of more layers than this are merged.</summary>
    internal const int MaxLayers = 8;

    /// <summary>Whether there is anything to do.</summary>
    internal static bool IsDue(FrozenDisks disks) => IsDue(disks.Rootfs) || IsDue(disks.Workspace);

    /// <summary>Merges. Blocks on the disk.</summary>
    /// <param name="disks">The disks; every layer has been saved.</param>
    /// <param name="store">Where to.</param>
    /// <param name="lease">A lease of it, held until a manifest names the new layers.</param>
    /// <param name="cancellationToken">Stops; what has been written is swept.</param>
    /// <returns>How the disks stand in the manifest afterwards.</returns>
    /// <exception cref="IOException">The disk is full, or a layer cannot be read or written.</exception>
    /// <exception cref="Compression.DamagedFileException">A layer is damaged.</exception>
    internal static async Task<DiskChains> RunAsync(FrozenDisks disks, StateStore store, StateLease lease, CancellationToken cancellationToken) => new()
    {
        Rootfs = await MergeAsync(disks.Rootfs, store, lease, cancellationToken).ConfigureAwait(false),
        Workspace = await MergeAsync(disks.Workspace, store, lease, cancellationToken).ConfigureAwait(false),
    };

    private static bool IsDue(FrozenDisk? disk) => disk?.Layers.Count > MaxLayers;

    private static async Task<DiskChain?> MergeAsync(
        FrozenDisk? disk, StateStore store, StateLease lease, CancellationToken cancellationToken)
    {
        if (disk is null)
        {
            return null;
        }

        List<LayerRef> layers = [.. disk.Layers.Select(layer => layer.Save(store, lease))];
        if (IsDue(disk))
        {
            int first = FirstToMerge(layers);
            Qcow2Layer[] opened = [.. disk.Layers.Skip(first).Select(layer => Qcow2Layer.Open(layer.File, disk.VirtualBytes))];
            using LayerFile merged = store.CreateLayerFile(lease, static _ => { });
            await Qcow2Flattener.FlattenAsync(opened, merged.File, null, cancellationToken).ConfigureAwait(false);

            // Nothing waits for this, and nobody computes it later.
            LayerRef frozen = store.FreezeLayer(merged.Id);
            SavedFile digested = SavedFiles.AddDigest(
                merged.File, frozen.File!, store.Layout.Layer(merged.Id), DigestMethod.Sparse, cancellationToken);
            layers = [.. layers.Take(first), frozen with { File = digested }];
        }

        return new DiskChain { ImageDigest = disk.ImageDigest, VirtualBytes = disk.VirtualBytes, Layers = layers };
    }

    /// <summary>A large layer at the bottom is not copied for a few small ones above it: it is merged when they have grown to a quarter of it.</summary>
    private static int FirstToMerge(List<LayerRef> layers)
    {
        long above = layers.Skip(1).Sum(static layer => layer.File!.Bytes);
        return layers[0].File!.Bytes / 4 > above ? 1 : 0;
    }
}
