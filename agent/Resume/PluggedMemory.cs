using System.Globalization;
using System.Text;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Waits for hot-plugged memory to come or to go. The kernel puts it online by itself (memhp_default_state on its command line) and
/// announces whole blocks of it. Thread-safe.
/// </summary>
internal static class PluggedMemory
{
    private const int ResumeStallMilliseconds = 10_000;
    private const int LookAgainMilliseconds = 10;
    private const long MinTolerance = 8 * 1024 * 1024; // less than a block: the kernel may keep pages of new memory for itself
    private const long MaxTolerance = 32 * 1024 * 1024;

    private static long s_atBoot;
    private static long s_blockBytes = 128 * 1024 * 1024;

    /// <summary>Bytes that are online beyond what the machine booted with.</summary>
    internal static long OnlineBytes => Math.Max(0, GuestMemory.TotalBytes() - s_atBoot);

    /// <summary>Notes how much memory there is without any plugged. Call once, before the first session.</summary>
    internal static void NoteBoot()
    {
        s_atBoot = GuestMemory.TotalBytes();
        Span<byte> text = stackalloc byte[32];
        int length = SmallFile.Read(GuestMemory.SysFd, "devices/system/memory/block_size_bytes"u8, text);
        if (length > 0
            && long.TryParse(Encoding.ASCII.GetString(text[..length]).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out long block)
            && block > 0)
        {
            s_blockBytes = block;
        }
    }

    /// <summary>Waits until so much is online.</summary>
    /// <param name="bytes">Hot-plugged bytes.</param>
    /// <exception cref="GuestException">It did not come in time.</exception>
    internal static void WaitFor(long bytes)
    {
        if (bytes > 0 && !Wait(bytes, ResumeStallMilliseconds, static () => false))
        {
            throw GuestException.Coded(
                AgentErrorCodes.System,
                $"hot-plugged memory: {OnlineBytes} of {bytes} bytes are online, and none came for {ResumeStallMilliseconds} ms");
        }
    }

    /// <summary>Waits until so much is online, no more and no less.</summary>
    /// <param name="bytes">Hot-plugged bytes.</param>
    /// <param name="stallMilliseconds">Gives up when nothing has changed for so long.</param>
    /// <param name="isCancelled">Asked whenever something has changed.</param>
    /// <returns>Whether that is so.</returns>
    internal static bool Wait(long bytes, int stallMilliseconds, Func<bool> isCancelled)
    {
        using var events = new KernelEvents();
        long tolerance = Math.Clamp(bytes / 64, MinTolerance, MaxTolerance);
        long last = OnlineBytes;
        bool growing = last < bytes - tolerance;
        long stalledAt = ClockTicks.Milliseconds + stallMilliseconds;
        while (!IsThere(last, bytes, tolerance, growing))
        {
            long now = ClockTicks.Milliseconds;
            if (now >= stalledAt || isCancelled())
            {
                return false;
            }

            // A part of a block that comes or goes later than its block is announced by nobody (mm/memory_hotplug.c): look for it.
            bool partial = growing && last % s_blockBytes > MaxTolerance;
            events.Wait(partial ? LookAgainMilliseconds : (int)(stalledAt - now));
            long online = OnlineBytes;
            if (online != last)
            {
                last = online;
                stalledAt = ClockTicks.Milliseconds + stallMilliseconds;
            }
        }

        return true;
    }

    private static bool IsThere(long online, long wanted, long tolerance, bool growing) =>
        growing ? online >= wanted - tolerance : online <= wanted + tolerance;
}
