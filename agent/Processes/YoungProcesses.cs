using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Kills what a shell has started lately, and leaves alone what it had started before.</summary>
internal static class YoungProcesses
{
    private const int MaxPasses = 8;
    private const int MaxProcs = 512 * 1024;
    private const int MillisecondsPerTick = 10; // USER_HZ is 100 on every kernel there is for this architecture
    private const int StartTimeField = 22; // of /proc/pid/stat; fields are counted from 1

    /// <summary>Kills a process first, so that it starts no more, and then the young ones of its cgroup, also those that they start meanwhile.</summary>
    /// <param name="group">The cgroup.</param>
    /// <param name="leader">The process, not reaped yet.</param>
    /// <param name="milliseconds">Largest age.</param>
    /// <returns>Whether the process was there.</returns>
    internal static bool Kill(ExecCgroup group, int leader, long milliseconds)
    {
        bool there = Libc.KillProcess(leader, Linux.SIGKILL) == 0;
        byte[] content = new byte[64 * 1024];
        for (int pass = 0; pass < MaxPasses; pass++)
        {
            if (!KillOnce(ReadProcesses(group, ref content), leader, milliseconds))
            {
                break;
            }
        }

        return there;
    }

    private static bool KillOnce(ReadOnlySpan<byte> processes, int leader, long milliseconds)
    {
        bool killed = false;
        long uptime = UptimeMilliseconds();
        foreach (Range range in processes.Split((byte)'\n'))
        {
            if (Utf8Parser.TryParse(processes[range], out int pid, out _) && pid > 1 && pid != leader
                && StartedMilliseconds(pid) is { } started && uptime - started <= milliseconds + (2 * MillisecondsPerTick))
            {
                killed |= Libc.KillProcess(pid, Linux.SIGKILL) == 0;
            }
        }

        return killed;
    }

    private static ReadOnlySpan<byte> ReadProcesses(ExecCgroup group, ref byte[] content)
    {
        try
        {
            using SafeFileHandle file = group.OpenControl("cgroup.procs");
            int length = 0;
            while (true)
            {
                nint count = Libc.Read((int)file.DangerousGetHandle(), content.AsSpan(length), (nuint)(content.Length - length));
                if (count <= 0)
                {
                    return content.AsSpan(0, length);
                }

                length += (int)count;
                if (length == content.Length)
                {
                    if (length >= MaxProcs)
                    {
                        return content.AsSpan(0, length);
                    }

                    Array.Resize(ref content, 2 * length);
                }
            }
        }
        catch (CgroupException exception)
        {
            // The sandbox's root may have removed the group, which it can only while it is empty: nothing is left to kill.
            KernelConsole.WriteLine("opensandbox-agent: " + exception.Message);
            return default;
        }
    }

    private static long UptimeMilliseconds()
    {
        Span<byte> text = stackalloc byte[64];
        int length = SmallFile.Read(GuestMemory.ProcFd, "uptime"u8, text);
        return length > 0 && Utf8Parser.TryParse(text[..length], out double seconds, out _) ? (long)(seconds * 1000) : long.MaxValue;
    }

    /// <summary>When a process was started, milliseconds since boot; <see langword="null"/>: it is gone, or dead already.</summary>
    private static long? StartedMilliseconds(int pid)
    {
        Span<byte> text = stackalloc byte[1024];
        int length = SmallFile.Read(
            GuestMemory.ProcFd, Encoding.ASCII.GetBytes(pid.ToString(CultureInfo.InvariantCulture) + "/stat\0"), text);
        int name = length > 0 ? text[..length].LastIndexOf((byte)')') : -1;
        if (name < 0)
        {
            return null;
        }

        ReadOnlySpan<byte> fields = text[(name + 2)..length];
        if (fields.IsEmpty || fields[0] is (byte)'Z' or (byte)'X')
        {
            return null;
        }

        int field = 3; // the state is the third
        foreach (Range range in fields.Split((byte)' '))
        {
            if (field++ == StartTimeField)
            {
                return Utf8Parser.TryParse(fields[range], out long ticks, out _) ? ticks * MillisecondsPerTick : null;
            }
        }

        return null;
    }
}
