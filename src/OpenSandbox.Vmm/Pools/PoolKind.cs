using OpenSandbox.Vmm.Disks;

namespace OpenSandbox.Vmm.Pools;

/// <summary>What a machine has been started for and cannot change any more: the images below its disks.</summary>
/// <param name="Rootfs">Digest of the root disk's image; none: no disks.</param>
/// <param name="Workspace">Digest of the workspace's image, if there is one.</param>
internal readonly record struct PoolKind(string? Rootfs, string? Workspace)
{
    /// <summary>The kind of machine whose disks begin with these images.</summary>
    internal static PoolKind Of(FrozenDisks disks) => new(disks.Rootfs?.ImageDigest, disks.Workspace?.ImageDigest);
}
