namespace OpenSandbox.Vmm.State;

/// <summary>What may change of a published snapshot.</summary>
internal static class SnapshotRules
{
    /// <summary>Whether two manifests differ in nothing but name, retention, and digests and stamps of files with the same names and lengths.</summary>
    internal static bool IsAmendment(SnapshotManifest before, SnapshotManifest after) =>
        ManifestFile.Encode(Bare(before)).AsSpan().SequenceEqual(ManifestFile.Encode(Bare(after)));

    private static SnapshotManifest Bare(SnapshotManifest manifest) => manifest with
    {
        Name = null,
        Retained = false,
        Memory = manifest.Memory is SnapshotMemory memory
            ? memory with { DeviceState = Bare(memory.DeviceState), Memory = Bare(memory.Memory) }
            : null,
        Disks = new DiskChains { Rootfs = Bare(manifest.Disks.Rootfs), Workspace = Bare(manifest.Disks.Workspace) },
    };

    private static DiskChain? Bare(DiskChain? chain) => chain is null ? null : chain with
    {
        Layers = [.. chain.Layers.Select(static layer => layer with { File = layer.File is null ? null : Bare(layer.File) })],
    };

    private static SavedFile Bare(SavedFile file) =>
        file with { Sha256 = null, Stamp = new FileStamp { Inode = 0, Bytes = file.Bytes, ModifiedNs = 0, ChangedNs = 0 } };
}
