namespace OpenSandbox.Vmm.Qemu;

/// <summary>Numbers of one disk's descriptors in the child.</summary>
/// <param name="Overlay">The writable qcow2 layer on top.</param>
/// <param name="Base">The raw, read-only image at the bottom.</param>
/// <param name="Frozen">The read-only qcow2 layers between them, bottom to top.</param>
internal sealed record DiskDescriptors(int Overlay, int Base, IReadOnlyList<int> Frozen)
{
    /// <summary>A disk without layers between overlay and image.</summary>
    internal DiskDescriptors(int overlay, int @base)
        : this(overlay, @base, [])
    {
    }
}
