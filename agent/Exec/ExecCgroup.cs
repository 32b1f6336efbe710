using Microsoft.Win32.SafeHandles;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>The cgroup of one command, with the files open that are read at its end. Reused when it has become empty.</summary>
internal sealed class ExecCgroup : IDisposable
{
    private readonly Cgroup _group;
    private readonly SafeFileHandle _events;
    private readonly SafeFileHandle _cpu;
    private readonly SafeFileHandle? _memory;
    private long _cpuBefore;
    private long _killsBefore;

    internal ExecCgroup(Cgroup group, string name, uint serial)
    {
        _group = group;
        Name = name;
        Serial = serial;
        _events = group.OpenControl("cgroup.events");
        _cpu = group.OpenControl("cpu.stat");
        try
        {
            group.Apply(new CgroupLimits { KillTogether = true });
            _memory = group.OpenControl("memory.events");
        }
        catch (CgroupException)
        {
            // A kernel without the memory controller: commands run without a report of memory shortage.
            _memory = null;
        }
    }

    /// <summary>Name below the group of all commands.</summary>
    internal string Name { get; }

    /// <summary>Number that identifies it among the loop's event sources.</summary>
    internal uint Serial { get; }

    /// <summary>Descriptor of the directory.</summary>
    internal int DirectoryFd => (int)_group.Directory.DangerousGetHandle();

    /// <summary>Descriptor of cgroup.events, which reports EPOLLPRI when the group becomes empty.</summary>
    internal int EventsFd => (int)_events.DangerousGetHandle();

    /// <summary>Whether a process is left. A group that was removed under the agent counts as empty.</summary>
    internal bool IsPopulated => Read(_events, "populated"u8) is 1;

    /// <summary>CPU time since <see cref="Begin"/>, microseconds.</summary>
    internal long? CpuMicroseconds => Read(_cpu, "usage_usec"u8) - _cpuBefore;

    /// <summary>Whether processes were killed for lack of memory since <see cref="Begin"/>.</summary>
    internal bool RanOutOfMemory => Read(_memory, "oom_kill"u8) > _killsBefore;

    /// <summary>Memory that the group uses now, bytes.</summary>
    internal long? MemoryBytes
    {
        get
        {
            try
            {
                using SafeFileHandle file = _group.OpenControl("memory.current");
                return CgroupFiles.Number(file);
            }
            catch (CgroupException)
            {
                return null; // no memory controller, or the sandbox's root has removed the group
            }
        }
    }

    /// <summary>Differs from command to command.</summary>
    internal long Use { get; private set; }

    /// <summary>Opens a control file for reading.</summary>
    internal SafeFileHandle OpenControl(string file) => _group.OpenControl(file);

    /// <summary>Starts counting for the next command. Call when the group is empty.</summary>
    internal void Begin()
    {
        Use++;
        _cpuBefore = Read(_cpu, "usage_usec"u8) ?? 0;
        _killsBefore = Read(_memory, "oom_kill"u8) ?? 0;
    }

    /// <summary>Kills everything in the group.</summary>
    internal void Kill()
    {
        try
        {
            _group.Kill();
        }
        catch (CgroupException exception)
        {
            // The sandbox's root may have removed the group, which it can only while it is empty: nothing is left to kill.
            KernelConsole.WriteLine("opensandbox-agent: " + exception.Message);
        }
    }

    /// <summary>Closes the descriptors.</summary>
    public void Dispose()
    {
        _events.Dispose();
        _cpu.Dispose();
        _memory?.Dispose();
        _group.Dispose();
    }

    private static long? Read(SafeFileHandle? file, ReadOnlySpan<byte> key)
    {
        if (file is null)
        {
            return null;
        }

        Span<byte> buffer = stackalloc byte[1024];
        nint count = Libc.PRead((int)file.DangerousGetHandle(), buffer, (nuint)buffer.Length, 0);
        return count <= 0 ? null : CgroupStatistics.Value(buffer[..(int)count], key);
    }
}
