using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>Takes the pages of one region of a memory file, and leaves those of the other out.</summary>
/// <param name="region">The region.</param>
/// <param name="write">Takes pages: offset in the region, and content.</param>
internal sealed class MemoryTarget(MemoryFileRegion region, Action<long, ReadOnlySpan<byte>> write) : IMemoryTarget
{
    public void Write(MemoryFileRegion from, long offset, ReadOnlySpan<byte> data)
    {
        if (from == region)
        {
            write(offset, data);
        }
    }

    /// <summary>For hot-plugged RAM: its file.</summary>
    internal static MemoryTarget Into(SafeFileHandle plugged) =>
        new(MemoryFileRegion.Plugged, (offset, bytes) => RandomAccess.Write(plugged, bytes, offset));

    /// <summary>For the RAM of a machine that waits for its state: many runs with one system call.</summary>
    internal static IMemoryTarget Into(RamMapping ram) => new RamTarget(ram);

    private sealed class RamTarget(RamMapping ram) : IMemoryTarget
    {
        public void Write(MemoryFileRegion region, long offset, ReadOnlySpan<byte> data) =>
            WriteBatch(region, [new MemoryFileRun(offset, data.Length, 0)], data);

        public void WriteBatch(MemoryFileRegion region, ReadOnlySpan<MemoryFileRun> runs, ReadOnlySpan<byte> buffer)
        {
            if (region == MemoryFileRegion.Ram)
            {
                ram.Write(runs, buffer);
            }
        }
    }
}
