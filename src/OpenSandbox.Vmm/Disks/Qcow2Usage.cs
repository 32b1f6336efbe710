namespace OpenSandbox.Vmm.Disks;

/// <summary>How much a layer, or a flattened image, holds.</summary>
/// <param name="FileBytes">Length of the file.</param>
/// <param name="DataBytes">Content, in whole clusters.</param>
/// <param name="ZeroBytes">What is marked as zero, in whole clusters.</param>
internal readonly record struct Qcow2Usage(long FileBytes, long DataBytes, long ZeroBytes);
