namespace OpenSandbox.Vmm.Snapshots;

/// <summary>Consecutive pages of a memory region.</summary>
/// <param name="First">Index of the first page in its region.</param>
/// <param name="Count">How many, at least 1.</param>
internal readonly record struct PageRun(long First, long Count)
{
    /// <summary>Page size of the guests and hosts that this runs on, bytes.</summary>
    internal const int PageSize = 4096;

    /// <summary>Where the run begins, bytes from the region's start.</summary>
    internal long Offset => First * PageSize;

    /// <summary>Length, bytes.</summary>
    internal long Bytes => Count * PageSize;
}
