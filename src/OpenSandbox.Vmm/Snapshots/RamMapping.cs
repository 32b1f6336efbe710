using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>
/// Where a QEMU process has mapped its guest's RAM: a private mapping of the golden template, so that the pages which the guest (or QEMU
/// for it) has written are exactly those that do not belong to the file any more.
/// </summary>
/// <remarks>
/// Reading and writing needs the right to trace the process: root, or the same user. Source of the bits: the kernel's
/// Documentation/admin-guide/mm/pagemap.rst.
/// </remarks>
internal sealed unsafe class RamMapping
{
    private const int PageSize = PageRun.PageSize;
    private const int MaxMapsBytes = 4 << 20;
    private const string FileName = "/memfd:opensandbox-golden";
    private const ulong PresentOrSwapped = 3UL << 62;
    private const ulong FilePage = 1UL << 61;

    private readonly ulong _address;

    private RamMapping(int pid, ulong address, long bytes)
    {
        Pid = pid;
        _address = address;
        Bytes = bytes;
    }

    /// <summary>QEMU's process id. The caller holds on to the process, so that the number cannot get another meaning.</summary>
    internal int Pid { get; }

    /// <summary>Size of the guest's RAM, bytes.</summary>
    internal long Bytes { get; }

    /// <summary>Finds the mapping of a machine that has been set up.</summary>
    /// <param name="pid">QEMU.</param>
    /// <param name="bytes">How large the RAM is.</param>
    /// <exception cref="IOException">There is no such mapping, or the process may not be looked at.</exception>
    internal static RamMapping Find(int pid, long bytes)
    {
        ulong start = 0;
        ulong end = 0;
        foreach (string line in ReadMaps(pid))
        {
            // "7f0000000000-7f0020000000 rw-p 00000000 00:01 1234    /memfd:opensandbox-golden (deleted)"
            if (!line.Contains(FileName, StringComparison.Ordinal) || !TryParse(line, out ulong low, out ulong high, out long offset))
            {
                continue;
            }

            // The kernel may show one mapping in pieces.
            if (offset == 0)
            {
                (start, end) = (low, high);
            }
            else if (low == end && offset == (long)(low - start))
            {
                end = high;
            }
        }

        return end - start == (ulong)bytes
            ? new RamMapping(pid, start, bytes)
            : throw new IOException($"process {pid} has not mapped {bytes} bytes of the golden snapshot's RAM in one place");
    }

    /// <summary>The pages that are no longer the template's, in order.</summary>
    /// <exception cref="IOException">The process is gone, or may not be looked at.</exception>
    internal List<PageRun> FindPrivatePages()
    {
        const int chunkPages = 8_192;
        var runs = new List<PageRun>();
        var entries = new ulong[chunkPages];
        using SafeFileHandle pagemap = File.OpenHandle($"/proc/{Pid}/pagemap");
        long pages = Bytes / PageSize;
        long first = 0; // of the run that is being put together
        long count = 0;
        for (long at = 0; at < pages;)
        {
            int wanted = (int)Math.Min(chunkPages, pages - at);
            Span<byte> room = MemoryMarshal.AsBytes(entries.AsSpan(0, wanted));
            int read = RandomAccess.Read(pagemap, room, ((long)(_address / PageSize) + at) * sizeof(ulong));
            if (read == 0 || read % sizeof(ulong) != 0)
            {
                throw new IOException($"/proc/{Pid}/pagemap ends early");
            }

            ReadOnlySpan<ulong> chunk = entries.AsSpan(0, read / sizeof(ulong));
            for (int i = 0; i < chunk.Length; i++)
            {
                if (chunk[i] == 0)
                {
                    int next = chunk[i..].IndexOfAnyExcept(0UL);
                    i = next < 0 ? chunk.Length - 1 : i + next - 1;
                    continue;
                }

                if ((chunk[i] & PresentOrSwapped) == 0 || (chunk[i] & FilePage) != 0)
                {
                    continue;
                }

                if (first + count == at + i && count > 0)
                {
                    count++;
                    continue;
                }

                if (count > 0)
                {
                    runs.Add(new PageRun(first, count));
                }

                (first, count) = (at + i, 1);
            }

            at += chunk.Length;
        }

        if (count > 0)
        {
            runs.Add(new PageRun(first, count));
        }

        return runs;
    }

    /// <summary>Copies pages out of the process, one run behind the other.</summary>
    /// <param name="runs">Which.</param>
    /// <param name="target">Where to; as large as all of them.</param>
    /// <exception cref="IOException">The process is gone, or may not be looked at.</exception>
    internal void Read(ReadOnlySpan<PageRun> runs, Span<byte> target)
    {
        Span<IoVec> local = stackalloc IoVec[Libc.MaxIoVecs];
        Span<IoVec> remote = stackalloc IoVec[Libc.MaxIoVecs];
        fixed (byte* bytes = target)
        {
            long done = 0;
            while (!runs.IsEmpty)
            {
                int batch = Math.Min(runs.Length, remote.Length);
                long length = Describe(runs[..batch], remote);
                ArgumentOutOfRangeException.ThrowIfGreaterThan(done + length, target.Length, nameof(target));
                local[0] = new IoVec { Base = bytes + done, Length = (nuint)length };

                // JUSTIFICATION: there is no managed call that reads another process's memory without a system call per run.
                // SAFETY: the local run lies within the span, which is fixed; the kernel checks the remote ones.
                Transfer(local[..1], remote[..batch], length, write: false);
                done += length;
                runs = runs[batch..];
            }
        }
    }

    /// <summary>Writes pages into the process, before its guest has run: as many runs as it takes with one system call.</summary>
    /// <param name="runs">Where to, bytes from the start of the RAM, and from where in the buffer; whole pages.</param>
    /// <param name="buffer">Their content.</param>
    /// <exception cref="IOException">Outside of the RAM, or the process is gone, or may not be written to.</exception>
    internal void Write(ReadOnlySpan<MemoryFileRun> runs, ReadOnlySpan<byte> buffer)
    {
        Span<IoVec> local = stackalloc IoVec[Libc.MaxIoVecs];
        Span<IoVec> remote = stackalloc IoVec[Libc.MaxIoVecs];
        fixed (byte* bytes = buffer)
        {
            while (!runs.IsEmpty)
            {
                int batch = Math.Min(runs.Length, remote.Length);
                long length = 0;
                for (int i = 0; i < batch; i++)
                {
                    MemoryFileRun run = runs[i];
                    if (run.Offset < 0 || run.Offset % PageSize != 0 || run.Length % PageSize != 0 || run.Offset > Bytes - run.Length)
                    {
                        throw new IOException($"{run.Length} bytes at {run.Offset} do not lie within the {Bytes} bytes of the guest's RAM");
                    }

                    // JUSTIFICATION: as for reading.
                    // SAFETY: the slice checks that the run lies within the buffer, which is fixed.
                    local[i] = new IoVec { Base = bytes + run.Start, Length = (nuint)buffer.Slice(run.Start, run.Length).Length };
                    remote[i] = new IoVec { Base = (void*)(_address + (ulong)run.Offset), Length = (nuint)run.Length };
                    length += run.Length;
                }

                Transfer(local[..batch], remote[..batch], length, write: true);
                runs = runs[batch..];
            }
        }
    }

    /// <summary>Asks the kernel to move the private pages to swap.</summary>
    /// <returns>By how many bytes those that are in memory became less.</returns>
    internal long PageOut()
    {
        List<PageRun> runs = FindPrivatePages();
        long before = CountPresent();
        using SafeFileHandle pidfd = Libc.PidfdOpen(Pid);
        if (pidfd.IsInvalid)
        {
            throw Errno.LastError($"pidfd_open {Pid}");
        }

        Span<IoVec> remote = stackalloc IoVec[Libc.MaxIoVecs];
        fixed (IoVec* remotes = remote)
        {
            for (int first = 0; first < runs.Count; first += remote.Length)
            {
                int count = Math.Min(remote.Length, runs.Count - first);
                _ = Describe(CollectionsMarshal.AsSpan(runs).Slice(first, count), remote);

                // Advice: what comes of it is counted afterwards.
                _ = Libc.ProcessMAdvise(pidfd, remotes, (nuint)count, Libc.MADV_PAGEOUT);
            }
        }

        return Math.Max(0, before - CountPresent());
    }

    private long CountPresent()
    {
        const ulong present = 1UL << 63;
        long bytes = 0;
        var entries = new ulong[8_192];
        using SafeFileHandle pagemap = File.OpenHandle($"/proc/{Pid}/pagemap");
        long pages = Bytes / PageSize;
        for (long at = 0; at < pages;)
        {
            Span<byte> room = MemoryMarshal.AsBytes(entries.AsSpan(0, (int)Math.Min(entries.Length, pages - at)));
            int read = RandomAccess.Read(pagemap, room, ((long)(_address / PageSize) + at) * sizeof(ulong)) / sizeof(ulong);
            if (read == 0)
            {
                throw new IOException($"/proc/{Pid}/pagemap ends early");
            }

            foreach (ulong entry in entries.AsSpan(0, read))
            {
                bytes += (entry & present) != 0 && (entry & FilePage) == 0 ? PageSize : 0;
            }

            at += read;
        }

        return bytes;
    }

    private long Describe(ReadOnlySpan<PageRun> runs, Span<IoVec> remote)
    {
        long length = 0;
        for (int i = 0; i < runs.Length; i++)
        {
            remote[i] = new IoVec { Base = (void*)(_address + (ulong)runs[i].Offset), Length = (nuint)runs[i].Bytes };
            length += runs[i].Bytes;
        }

        return length;
    }

    /// <summary>Moves bytes; the vectors are used up. Both sides have the same length in all.</summary>
    private void Transfer(Span<IoVec> local, Span<IoVec> remote, long length, bool write)
    {
        while (length > 0)
        {
            nint moved;
            fixed (IoVec* here = local)
            fixed (IoVec* there = remote)
            {
                moved = write
                    ? Libc.ProcessVmWriteV(Pid, here, (nuint)local.Length, there, (nuint)remote.Length, 0)
                    : Libc.ProcessVmReadV(Pid, here, (nuint)local.Length, there, (nuint)remote.Length, 0);
            }

            if (moved <= 0)
            {
                string call = write ? "process_vm_writev" : "process_vm_readv";
                throw moved < 0 ? Errno.LastError($"{call} of QEMU's memory (process {Pid})") : new IOException($"{call}: nothing was moved");
            }

            // The kernel moves at most 2 GiB at once.
            length -= moved;
            local = After(local, moved);
            remote = After(remote, moved);
        }
    }

    /// <summary>What is left of the vectors after so many bytes.</summary>
    private static Span<IoVec> After(Span<IoVec> vectors, nint moved)
    {
        while (!vectors.IsEmpty && (nuint)moved >= vectors[0].Length)
        {
            moved -= (nint)vectors[0].Length;
            vectors = vectors[1..];
        }

        if (!vectors.IsEmpty)
        {
            vectors[0] = new IoVec { Base = (byte*)vectors[0].Base + moved, Length = vectors[0].Length - (nuint)moved };
        }

        return vectors;
    }

    private static IEnumerable<string> ReadMaps(int pid)
    {
        // The text is QEMU's to shape: it can map as much as it likes.
        using var reader = new StreamReader($"/proc/{pid}/maps");
        int length = 0;
        while (reader.ReadLine() is string line)
        {
            length += line.Length;
            if (length > MaxMapsBytes)
            {
                throw new IOException($"/proc/{pid}/maps is longer than {MaxMapsBytes} bytes");
            }

            yield return line;
        }
    }

    private static bool TryParse(ReadOnlySpan<char> line, out ulong low, out ulong high, out long offset)
    {
        low = high = 0;
        offset = 0;
        Span<Range> fields = stackalloc Range[4];
        if (line.Split(fields, ' ', StringSplitOptions.RemoveEmptyEntries) < 4 || !line[fields[1]].SequenceEqual("rw-p"))
        {
            return false;
        }

        ReadOnlySpan<char> range = line[fields[0]];
        int dash = range.IndexOf('-');
        return dash > 0
            && ulong.TryParse(range[..dash], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out low)
            && ulong.TryParse(range[(dash + 1)..], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out high)
            && long.TryParse(line[fields[2]], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out offset)
            && low < high && offset >= 0;
    }
}
