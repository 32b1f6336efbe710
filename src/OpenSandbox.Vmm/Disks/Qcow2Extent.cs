namespace OpenSandbox.Vmm.Disks;

/// <summary>A part of the disk for which a layer says one thing, and whose content is in one piece.</summary>
/// <param name="Allocation">What the layer says.</param>
/// <param name="Offset">Where it begins on the disk, bytes; a multiple of the cluster size.</param>
/// <param name="Length">How long it is, bytes; a multiple of the cluster size except at the disk's end.</param>
/// <param name="FileOffset">Where the content is in the layer's file, for <see cref="Qcow2Allocation.Data"/>; otherwise 0.</param>
internal readonly record struct Qcow2Extent(Qcow2Allocation Allocation, long Offset, long Length, long FileOffset);
