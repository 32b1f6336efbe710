using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Reads and changes the limits of the sandbox's cgroup while its processes run.</summary>
/// <param name="group">The group.</param>
internal sealed class RunningLimits(Cgroup group)
{
    private const long PageBytes = 4096;
    private const long DescriptorShare = 64; // the kernel's descriptors of pages take 1/64 of memory, and go with it
    private const long KernelReserve = 16 * 1024 * 1024; // what the kernel itself works with is never given away

    /// <summary>Bytes that the group's processes hold and the kernel cannot reclaim: the guest has no swap.</summary>
    internal long MemoryInUse()
    {
        long current = Number("memory.current") ?? 0;
        byte[] statistics = Read("memory.stat");
        foreach (string key in (ReadOnlySpan<string>)["inactive_file", "active_file", "slab_reclaimable"])
        {
            current -= CgroupStatistics.Value(statistics, Encoding.ASCII.GetBytes(key)) ?? 0;
        }

        return Math.Max(0, current);
    }

    /// <summary>The largest limit that leaves kernel and agent enough of so much RAM: 90 percent.</summary>
    internal static long LargestMemory(long ramBytes) => ramBytes / 100 * 90 & ~(PageBytes - 1);

    /// <summary>
    /// Lowers the memory limit unless processes hold more. The kernel is first made to reclaim down to it (memory.high), because lowering
    /// memory.max below what is held makes it kill.
    /// </summary>
    /// <param name="maxBytes">The new limit.</param>
    /// <param name="removedBytes">RAM that the guest is going to lose.</param>
    /// <param name="inUse">What is held.</param>
    /// <returns>0, or how many bytes too many are held: then the limit is what it was.</returns>
    internal long TryLowerMemory(long maxBytes, long removedBytes, out long inUse)
    {
        long total = GuestMemory.TotalBytes();
        maxBytes = Math.Min(maxBytes, LargestMemory(total - removedBytes));
        long used = total - GuestMemory.AvailableBytes() - (removedBytes / DescriptorShare);
        long room = total - removedBytes - KernelReserve;
        inUse = MemoryInUse();
        long shortfall = Math.Max(inUse - maxBytes, removedBytes > 0 ? used - room : 0);
        if (shortfall > 0)
        {
            inUse = Math.Max(inUse, maxBytes + shortfall); // also what others than the processes hold
            return shortfall;
        }

        group.Write("memory.high", maxBytes.ToString(CultureInfo.InvariantCulture));
        try
        {
            shortfall = (Number("memory.current") ?? 0) - maxBytes;
            if (shortfall <= 0)
            {
                Set(new GuestLimits { MemoryMaxBytes = maxBytes });
            }
        }
        finally
        {
            group.Write("memory.high", "max");
        }

        return Math.Max(0, shortfall);
    }

    /// <summary>Sets what is not absent.</summary>
    internal void Set(GuestLimits limits) => group.Apply(new CgroupLimits
    {
        PidsMax = limits.PidsMax,
        MemoryMaxBytes = limits.MemoryMaxBytes is { } memory ? Math.Min(memory, LargestMemory(GuestMemory.TotalBytes())) : null,
        CpuMaxPercent = limits.CpuMaxPercent,
    });

    /// <summary>What is in force.</summary>
    internal LimitsResult Report(bool done, long shortfall, long inUse) => new()
    {
        Done = done,
        ShortfallBytes = shortfall,
        MemoryBytes = GuestMemory.TotalBytes(),
        PluggedMemoryBytes = PluggedMemory.OnlineBytes,
        MemoryInUseBytes = inUse,
        MemoryMaxBytes = MemoryMax(),
        CpuMaxPercent = CpuMaxPercent(),
        PidsMax = (int?)Number("pids.max"),
    };

    /// <summary>memory.max, or <see langword="null"/> where there is none.</summary>
    internal long? MemoryMax() => Number("memory.max");

    /// <summary>pids.current.</summary>
    internal long Pids() => Number("pids.current") ?? 0;

    /// <summary>CPU time of all processes so far, microseconds.</summary>
    internal long CpuMicroseconds() => group.CpuMicroseconds;

    private int? CpuMaxPercent()
    {
        ReadOnlySpan<byte> text = Read("cpu.max"); // "QUOTA PERIOD", or "max PERIOD"
        int space = text.IndexOf((byte)' ');
        return space > 0
            && Utf8Parser.TryParse(text[..space], out long quota, out int used) && used == space
            && Utf8Parser.TryParse(text[(space + 1)..], out long period, out _) && period > 0
            ? (int)(quota * 100 / period)
            : null;
    }

    private long? Number(string file) =>
        Utf8Parser.TryParse(Read(file), out long value, out int used) && used > 0 ? value : null;

    private byte[] Read(string file)
    {
        using SafeFileHandle control = group.OpenControl(file);
        byte[] buffer = new byte[8 * 1024];
        nint count = Libc.Read((int)control.DangerousGetHandle(), buffer, (nuint)buffer.Length);
        return count < 0 ? throw GuestException.LastError("read " + file) : buffer[..(int)count];
    }
}
