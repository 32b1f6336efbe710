using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>
/// What a process had started by some moment, so that what it starts afterwards can be killed alone. It counts neither on clocks of the host
/// nor on how long a message takes.
/// </summary>
internal sealed class ProcessMark
{
    private const int MaxKnown = 4096; // beyond that, only the start time tells early from late, which is exact to 10 ms
    private const int MaxPasses = 8;
    private const int MaxProcs = 512 * 1024;
    private const int MaxAncestors = 256;
    private const int TicksPerSecond = 100; // USER_HZ on every kernel there is for this architecture
    private const int ParentField = 4; // of /proc/pid/stat; fields are counted from 1
    private const int StartTimeField = 22;

    private readonly HashSet<int> _known = [];
    private readonly bool _complete;
    private readonly long _ticks;

    private ProcessMark(ExecCgroup group)
    {
        _ticks = UptimeTicks();
        List<int> processes = ReadProcesses(group);
        _complete = processes.Count <= MaxKnown;
        if (_complete)
        {
            _known.UnionWith(processes);
        }
    }

    /// <summary>Notes what is in the cgroup now.</summary>
    internal static ProcessMark Take(ExecCgroup group) => new(group);

    /// <summary>
    /// Kills the process itself, so that it starts no more, and then what has come into its cgroup since the mark, also while this goes on. What
    /// earlier processes of the cgroup have started since belongs to them.
    /// </summary>
    /// <param name="group">The cgroup.</param>
    /// <param name="leader">The process, not reaped yet.</param>
    /// <returns>Whether the process was there.</returns>
    internal bool KillSince(ExecCgroup group, int leader)
    {
        bool there = Libc.KillProcess(leader, Linux.SIGKILL) == 0;
        for (int pass = 0; pass < MaxPasses; pass++)
        {
            if (!KillOnce(group, leader))
            {
                break;
            }
        }

        return there;
    }

    private bool KillOnce(ExecCgroup group, int leader)
    {
        var all = new Dictionary<int, (int Parent, long Started)>();
        foreach (int pid in ReadProcesses(group))
        {
            if (pid != leader && Describe(pid) is { } described)
            {
                all[pid] = described;
            }
        }

        bool killed = false;
        foreach (int pid in all.Keys)
        {
            killed |= !IsSpared(pid, all) && Libc.KillProcess(pid, Linux.SIGKILL) == 0;
        }

        return killed;
    }

    /// <summary>Whether a process, or one that it descends from, was there at the mark.</summary>
    private bool IsSpared(int pid, Dictionary<int, (int Parent, long Started)> all)
    {
        for (int i = 0; i < MaxAncestors && all.TryGetValue(pid, out (int Parent, long Started) process); i++)
        {
            // A number that was there may by now belong to another process, which then is younger.
            if (_complete ? _known.Contains(pid) && process.Started <= _ticks : process.Started < _ticks)
            {
                return true;
            }

            pid = process.Parent;
        }

        return false;
    }

    private static List<int> ReadProcesses(ExecCgroup group)
    {
        var processes = new List<int>();
        try
        {
            using SafeFileHandle file = group.OpenControl("cgroup.procs");
            byte[] content = new byte[16 * 1024];
            int length = 0;
            nint count;
            while ((count = Libc.Read((int)file.DangerousGetHandle(), content.AsSpan(length), (nuint)(content.Length - length))) > 0)
            {
                length += (int)count;
                if (length == content.Length)
                {
                    if (length >= MaxProcs)
                    {
                        break;
                    }

                    Array.Resize(ref content, 2 * length);
                }
            }

            foreach (Range range in content.AsSpan(0, length).Split((byte)'\n'))
            {
                if (Utf8Parser.TryParse(content.AsSpan(0, length)[range], out int pid, out _) && pid > 1)
                {
                    processes.Add(pid);
                }
            }
        }
        catch (CgroupException exception)
        {
            // The sandbox's root may have removed the group, which it can only while it is empty: nothing is in it.
            KernelConsole.WriteLine("opensandbox-agent: " + exception.Message);
        }

        return processes;
    }

    private static long UptimeTicks()
    {
        Span<byte> text = stackalloc byte[64];
        int length = SmallFile.Read(GuestMemory.ProcFd, "uptime\0"u8, text);
        return length > 0 && Utf8Parser.TryParse(text[..length], out double seconds, out _) ? (long)Math.Round(seconds * TicksPerSecond) : 0;
    }

    /// <summary>A process's parent and start; <see langword="null"/>: it is gone, or dead already.</summary>
    private static (int Parent, long Started)? Describe(int pid)
    {
        Span<byte> text = stackalloc byte[1024];
        int length = SmallFile.Read(
            GuestMemory.ProcFd, Encoding.ASCII.GetBytes(pid.ToString(CultureInfo.InvariantCulture) + "/stat\0"), text);
        int name = length > 0 ? text[..length].LastIndexOf((byte)')') : -1; // a name may have anything in it
        if (name < 0 || name + 2 >= length || text[name + 2] is (byte)'Z' or (byte)'X')
        {
            return null;
        }

        ReadOnlySpan<byte> fields = text[(name + 2)..length];
        int parent = 0;
        int field = 3; // the state is the third
        foreach (Range range in fields.Split((byte)' '))
        {
            if (field == ParentField)
            {
                _ = Utf8Parser.TryParse(fields[range], out parent, out _);
            }
            else if (field == StartTimeField)
            {
                return Utf8Parser.TryParse(fields[range], out long ticks, out _) ? (parent, ticks) : null;
            }

            field++;
        }

        return null;
    }
}
