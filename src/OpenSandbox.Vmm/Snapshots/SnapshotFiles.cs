using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>Writes the memory part of a snapshot into its staging directory.</summary>
internal static class SnapshotFiles
{
    /// <summary>Name of the file with the devices' state.</summary>
    internal const string DeviceStateName = "device-state";

    /// <summary>Name of the file with the guest's pages.</summary>
    internal const string MemoryName = "memory";

    private const int BatchBytes = 4 << 20;

    /// <summary>Writes what was cut into memory, while the guest runs on.</summary>
    /// <exception cref="IOException">The disk is full, or cannot be written to.</exception>
    internal static SnapshotMemory Write(SnapshotStaging staging, VmShape shape, MachineCut cut)
    {
        SavedFile state = WriteState(staging, cut.DeviceState.Span);
        using SafeFileHandle file = staging.CreateFile(MemoryName);
        using var writer = new MemoryFileWriter(file);
        MemoryFileLayout layout = SavedMachine.LayoutOf(shape);
        writer.BeginRegion(MemoryFileRegion.Ram, layout.RamBytes);
        MachineCut.ForEach(cut.RamRuns, cut.Ram, writer.Add);
        if (cut.Plugged is not null)
        {
            writer.BeginRegion(MemoryFileRegion.Plugged, layout.PluggedBytes);
            MachineCut.ForEach(cut.PluggedRuns, cut.Plugged, writer.Add);
        }

        return Finish(staging, file, writer, state, cut.PluggedBytes, Count(cut.RamRuns), Count(cut.PluggedRuns));
    }

    /// <summary>Writes the memory of a machine that is stopped for good: straight from it, without a copy in between.</summary>
    /// <exception cref="IOException">The disk is full, or cannot be written to, or the machine is gone.</exception>
    internal static SnapshotMemory Write(
        SnapshotStaging staging, VmShape shape, MachineCutter machine, Task<byte[]> deviceState, long pluggedBytes)
    {
        using SafeFileHandle file = staging.CreateFile(MemoryName);
        using var writer = new MemoryFileWriter(file);
        MemoryFileLayout layout = SavedMachine.LayoutOf(shape);
        byte[] buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(BatchBytes);
        try
        {
            List<PageRun> runs = machine.Ram.FindPrivatePages();
            writer.BeginRegion(MemoryFileRegion.Ram, layout.RamBytes);
            CopyRam(machine.Ram, runs, writer, buffer.AsSpan(0, BatchBytes));
            List<PageRun> plugged = machine.FindPluggedPages();
            if (plugged.Count > 0)
            {
                writer.BeginRegion(MemoryFileRegion.Plugged, layout.PluggedBytes);
                CopyPlugged(machine.PluggedRam, plugged, writer, buffer.AsSpan(0, BatchBytes));
            }

#pragma warning disable VSTHRD002, VSTHRD103 // the caller runs this on a thread of its own, and QEMU's answer has a deadline
            SavedFile state = WriteState(staging, deviceState.GetAwaiter().GetResult());
#pragma warning restore VSTHRD002, VSTHRD103
            return Finish(staging, file, writer, state, pluggedBytes, Count(runs), Count(plugged));
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static SnapshotMemory Finish(
        SnapshotStaging staging, SafeFileHandle file, MemoryFileWriter writer, SavedFile state, long pluggedBytes, long ramPages, long pluggedPages)
    {
        MemoryFileSummary written = writer.Finish();
        return new SnapshotMemory
        {
            DeviceState = state,
            Memory = staging.Finish(file, MemoryName, written.Sha256),
            PluggedBytes = pluggedBytes,
            RequestedPluggedBytes = pluggedBytes,
            RamPages = ramPages,
            PluggedPages = pluggedPages,
        };
    }

    private static SavedFile WriteState(SnapshotStaging staging, ReadOnlySpan<byte> state)
    {
        using SafeFileHandle file = staging.CreateFile(DeviceStateName);
        RandomAccess.Write(file, state, 0);
        return staging.Finish(file, DeviceStateName, Convert.ToHexStringLower(SHA256.HashData(state)));
    }

    private static void CopyRam(RamMapping ram, List<PageRun> runs, MemoryFileWriter writer, Span<byte> buffer)
    {
        int pages = buffer.Length / PageRun.PageSize;
        var batch = new List<PageRun>();
        long held = 0;
        foreach (PageRun run in runs)
        {
            for (long done = 0; done < run.Count;)
            {
                var part = new PageRun(run.First + done, Math.Min(run.Count - done, pages - held));
                batch.Add(part);
                held += part.Count;
                done += part.Count;
                if (held == pages)
                {
                    Flush(buffer);
                }
            }
        }

        if (held > 0)
        {
            Flush(buffer);
        }

        void Flush(Span<byte> room)
        {
            ram.Read(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(batch), room);
            int at = 0;
            foreach (PageRun part in batch)
            {
                writer.Add(part.Offset, room.Slice(at, (int)part.Bytes));
                at += (int)part.Bytes;
            }

            batch.Clear();
            held = 0;
        }
    }

    private static void CopyPlugged(SafeFileHandle plugged, List<PageRun> runs, MemoryFileWriter writer, Span<byte> buffer)
    {
        foreach (PageRun run in runs)
        {
            for (long done = 0; done < run.Bytes;)
            {
                Span<byte> room = buffer[..(int)Math.Min(buffer.Length, run.Bytes - done)];
                if (RandomAccess.Read(plugged, room, run.Offset + done) != room.Length)
                {
                    throw new IOException("hot-plugged RAM ends early");
                }

                writer.Add(run.Offset + done, room);
                done += room.Length;
            }
        }
    }

    private static long Count(IEnumerable<PageRun> runs) => runs.Sum(static run => run.Count);
}
