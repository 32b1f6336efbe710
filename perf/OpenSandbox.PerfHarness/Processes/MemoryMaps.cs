using System.Buffers.Binary;
using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.PerfHarness.Processes;

/// <summary>What the kernel says about another process's memory.</summary>
internal static class MemoryMaps
{
    private const int PageSize = 4_096;
    private const int EntrySize = sizeof(ulong);
    private const ulong Present = 1UL << 63;
    private const ulong Swapped = 1UL << 62;
    private const ulong FileOrShared = 1UL << 61;

    /// <summary>Memory that is the process's alone and differs from any file, KiB: what it costs to have it.</summary>
    internal static long PrivateDirtyKib(int pid)
    {
        const string name = "Private_Dirty:";
        string line = File.ReadLines($"/proc/{pid}/smaps_rollup").First(static line => line.StartsWith(name, StringComparison.Ordinal));
        return long.Parse(line[name.Length..].Replace("kB", "", StringComparison.Ordinal).Trim(), CultureInfo.InvariantCulture);
    }

    /// <summary>Pages of the guest's RAM that this machine has changed since the golden snapshot, bytes.</summary>
    internal static long PrivateGuestBytes(int pid)
    {
        string mapping = File.ReadLines($"/proc/{pid}/maps").First(static line => line.Contains("memfd:opensandbox-golden", StringComparison.Ordinal));
        string[] range = mapping.Split(' ', 2)[0].Split('-');
        ulong start = ulong.Parse(range[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        ulong end = ulong.Parse(range[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        using SafeFileHandle pagemap = File.OpenHandle($"/proc/{pid}/pagemap");
        byte[] entries = new byte[65_536];
        long offset = (long)(start / PageSize * EntrySize);
        long last = (long)(end / PageSize * EntrySize);
        long pages = 0;
        while (offset < last)
        {
            int count = RandomAccess.Read(pagemap, entries.AsSpan(0, (int)Math.Min(entries.Length, last - offset)), offset);
            if (count <= 0)
            {
                throw new IOException($"/proc/{pid}/pagemap ends early");
            }

            for (int at = 0; at + EntrySize <= count; at += EntrySize)
            {
                ulong entry = BinaryPrimitives.ReadUInt64LittleEndian(entries.AsSpan(at));
                if ((entry & (Present | Swapped)) != 0 && (entry & FileOrShared) == 0)
                {
                    pages++;
                }
            }

            offset += count;
        }

        return pages * PageSize;
    }
}
