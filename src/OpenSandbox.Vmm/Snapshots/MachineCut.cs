using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>A machine's state in this process's memory, as it was at the instant it was stopped.</summary>
/// <remarks>Thread-safe for reading; dispose it when nobody reads any more.</remarks>
internal sealed class MachineCut : IMachineMemory, IDisposable
{
    private const int ChunkBytes = 1 << 30;

    /// <summary>Takes over the stores.</summary>
    internal MachineCut(
        byte[] deviceState, long pluggedBytes, IReadOnlyList<PageRun> ramRuns, PageStore ram, IReadOnlyList<PageRun> pluggedRuns, PageStore? plugged)
    {
        DeviceState = deviceState;
        PluggedBytes = pluggedBytes;
        RamRuns = ramRuns;
        Ram = ram;
        PluggedRuns = pluggedRuns;
        Plugged = plugged;
    }

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> DeviceState { get; }

    /// <inheritdoc/>
    public long PluggedBytes { get; }

    /// <summary>Pages of the base RAM that differ from the golden snapshot.</summary>
    internal IReadOnlyList<PageRun> RamRuns { get; }

    /// <summary>Their content, one run behind the other.</summary>
    internal PageStore Ram { get; }

    /// <summary>Pages of hot-plugged RAM that hold something.</summary>
    internal IReadOnlyList<PageRun> PluggedRuns { get; }

    /// <summary>Their content; nothing where there are none.</summary>
    internal PageStore? Plugged { get; }

    /// <summary>Pages in all.</summary>
    internal long Pages => RamRuns.Sum(static run => run.Count) + PluggedRuns.Sum(static run => run.Count);

    /// <inheritdoc/>
    public void FillPlugged(SafeFileHandle plugged)
    {
        if (Plugged is not null)
        {
            ForEach(PluggedRuns, Plugged, (offset, bytes) => RandomAccess.Write(plugged, bytes, offset));
        }
    }

    /// <inheritdoc/>
    public void FillRam(RamMapping ram)
    {
        // As many runs as one system call takes, and as many bytes as one span can have.
        var runs = new MemoryFileRun[Math.Min(RamRuns.Count, MemoryFileFormat.MaxRunsPerBatch)];
        int count = 0;
        int length = 0;
        long start = 0;
        foreach (PageRun run in RamRuns)
        {
            for (long done = 0; done < run.Bytes;)
            {
                if (count == runs.Length || length == ChunkBytes)
                {
                    Flush();
                }

                int part = (int)Math.Min(ChunkBytes - length, run.Bytes - done);
                runs[count++] = new MemoryFileRun(run.Offset + done, part, length);
                length += part;
                done += part;
            }
        }

        Flush();

        void Flush()
        {
            ram.Write(runs.AsSpan(0, count), Ram.Span(start, length));
            start += length;
            count = length = 0;
        }
    }

    /// <summary>Hands over every run.</summary>
    internal static void ForEach(IReadOnlyList<PageRun> runs, PageStore store, Action<long, ReadOnlySpan<byte>> take)
    {
        long at = 0;
        foreach (PageRun run in runs)
        {
            for (long done = 0; done < run.Bytes;)
            {
                int length = (int)Math.Min(ChunkBytes, run.Bytes - done);
                take(run.Offset + done, store.Span(at, length));
                done += length;
                at += length;
            }
        }
    }

    public void Dispose()
    {
        Ram.Dispose();
        Plugged?.Dispose();
    }
}
