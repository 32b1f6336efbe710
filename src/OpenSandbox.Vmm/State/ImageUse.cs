namespace OpenSandbox.Vmm.State;

/// <summary>Which images disks are built on.</summary>
/// <param name="Digests">Digests of images that some manifest names.</param>
/// <param name="Damaged">Manifests that cannot be read, and may name any image: while there are any, none may be removed.</param>
internal sealed record ImageUse(IReadOnlySet<string> Digests, IReadOnlyList<DamagedEntry> Damaged)
{
    /// <summary>Whether an image may be removed.</summary>
    internal bool MayRemove(string digest) => Damaged.Count == 0 && !Digests.Contains(digest);
}
