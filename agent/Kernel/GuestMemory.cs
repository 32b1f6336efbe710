using System.Buffers.Text;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>What /proc says about the machine. Keeps /proc open from boot, whatever is mounted over it later.</summary>
internal static class GuestMemory
{
    private static int s_proc = -1;
    private static int s_sys = -1;

    /// <summary>Opens /proc and /sys. Call once, when they are mounted.</summary>
    internal static void Open()
    {
        s_proc = Libc.Open("/proc"u8, Linux.O_PATH | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0);
        s_sys = Libc.Open("/sys"u8, Linux.O_PATH | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0);
    }

    /// <summary>Descriptor of /proc.</summary>
    internal static int ProcFd => s_proc;

    /// <summary>Descriptor of /sys.</summary>
    internal static int SysFd => s_sys;

    /// <summary>MemTotal, bytes.</summary>
    internal static long TotalBytes() => Field("MemTotal:"u8);

    /// <summary>MemAvailable, bytes.</summary>
    internal static long AvailableBytes() => Field("MemAvailable:"u8);

    /// <summary>vCPUs that are online.</summary>
    internal static int VcpuCount()
    {
        Span<byte> text = stackalloc byte[256];
        int length = SmallFile.Read(s_sys, "devices/system/cpu/online"u8, text);
        int count = 0;
        ReadOnlySpan<byte> rest = length > 0 ? text[..length] : "0"u8;
        while (Utf8Parser.TryParse(rest, out int first, out int used))
        {
            rest = rest[used..];
            int last = first;
            if (!rest.IsEmpty && rest[0] == (byte)'-' && Utf8Parser.TryParse(rest[1..], out last, out used))
            {
                rest = rest[(used + 1)..];
            }

            count += last - first + 1;
            if (rest.IsEmpty || rest[0] != (byte)',')
            {
                break;
            }

            rest = rest[1..];
        }

        return Math.Max(1, count);
    }

    private static long Field(ReadOnlySpan<byte> name)
    {
        Span<byte> text = stackalloc byte[4096];
        int length = SmallFile.Read(s_proc, "meminfo"u8, text);
        int at = length > 0 ? text[..length].IndexOf(name) : -1;
        if (at < 0)
        {
            return 0;
        }

        ReadOnlySpan<byte> value = text[(at + name.Length)..length].TrimStart((byte)' ');
        return Utf8Parser.TryParse(value, out long kibibytes, out _) ? kibibytes * 1024 : 0;
    }
}
