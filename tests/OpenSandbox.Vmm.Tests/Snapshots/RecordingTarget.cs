using OpenSandbox.Vmm.Snapshots;

namespace OpenSandbox.Vmm.Tests.Snapshots;

/// <summary>A guest's memory as arrays; fails the test when something is written outside of it or out of order.</summary>
internal sealed class RecordingTarget(MemoryFileLayout layout) : IMemoryTarget
{
    internal byte[] Ram { get; } = Filled(layout.RamBytes);

    internal byte[] Plugged { get; } = Filled(layout.PluggedBytes);

    internal int Batches { get; private set; }

    private long Next { get; set; }

    private MemoryFileRegion Region { get; set; } = MemoryFileRegion.Ram;

    public void Write(MemoryFileRegion region, long offset, ReadOnlySpan<byte> data)
    {
        if (region != Region)
        {
            Assert.True(region > Region);
            (Region, Next) = (region, 0);
        }

        Assert.False(data.IsEmpty);
        Assert.Equal(0, offset % 4096);
        Assert.Equal(0, data.Length % 4096);
        Assert.True(offset >= Next);
        Next = offset + data.Length;
        data.CopyTo((region == MemoryFileRegion.Ram ? Ram : Plugged).AsSpan(checked((int)offset)));
    }

    public void WriteBatch(MemoryFileRegion region, ReadOnlySpan<MemoryFileRun> runs, ReadOnlySpan<byte> buffer)
    {
        Batches++;
        Assert.InRange(runs.Length, 1, 1024);
        foreach (MemoryFileRun run in runs)
        {
            Write(region, run.Offset, buffer.Slice(run.Start, run.Length));
        }
    }

    private static byte[] Filled(long length)
    {
        byte[] memory = new byte[length];
        memory.AsSpan().Fill(0xEE); // what the golden snapshot has; zeros must replace it
        return memory;
    }
}
