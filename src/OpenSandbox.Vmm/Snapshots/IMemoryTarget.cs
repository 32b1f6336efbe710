namespace OpenSandbox.Vmm.Snapshots;

/// <summary>Where the pages of a memory file go. Called by one thread, in ascending order, only with whole pages inside the region.</summary>
/// <remarks>
/// An exception ends the reading and reaches its caller as it is. Pages arrive before the file's end has been seen: until
/// <see cref="MemoryFileReader.Read"/> returns, what was written may be that of a damaged file.
/// </remarks>
internal interface IMemoryTarget
{
    /// <summary>Takes pages.</summary>
    /// <param name="region">The region.</param>
    /// <param name="offset">Where they belong in it, bytes.</param>
    /// <param name="data">Their content; valid during the call.</param>
    void Write(MemoryFileRegion region, long offset, ReadOnlySpan<byte> data);

    /// <summary>Takes several runs at once, for targets that can hand them on with one system call.</summary>
    /// <param name="region">The region of all of them.</param>
    /// <param name="runs">1 to <see cref="MemoryFileFormat.MaxRunsPerBatch"/> runs.</param>
    /// <param name="buffer">What their <see cref="MemoryFileRun.Start"/> counts in; valid during the call.</param>
    void WriteBatch(MemoryFileRegion region, ReadOnlySpan<MemoryFileRun> runs, ReadOnlySpan<byte> buffer)
    {
        foreach (MemoryFileRun run in runs)
        {
            Write(region, run.Offset, buffer.Slice(run.Start, run.Length));
        }
    }
}
