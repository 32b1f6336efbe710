namespace OpenSandbox.Vmm.Snapshots;

/// <summary>Whole pages that follow each other in a region.</summary>
/// <param name="Offset">Where they belong in the region, bytes.</param>
/// <param name="Length">How many bytes.</param>
/// <param name="Start">Where they are in the buffer that is passed along. Several runs may point to the same bytes.</param>
internal readonly record struct MemoryFileRun(long Offset, int Length, int Start);
