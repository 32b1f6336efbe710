using System.Globalization;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// The cgroup of all user processes, and a stock of empty groups below it: making one takes longer than starting a small program, so
/// it is done between commands.
/// </summary>
internal sealed partial class SandboxCgroup
{
    private const string Name = "sandbox";
    private const int Stock = 4;
    private const int DefaultPidsMax = 128;
    private const int DefaultCpuPercent = 80;

    private readonly Stack<ExecCgroup> _idle = new();
    private readonly Cgroup _root;
    private Cgroup _sandbox;
    private GuestLimits _limits = new();
    private CgroupLimits? _applied;
    private SafeFileHandle? _pidsEvents;
    private uint _nextSerial;

    /// <summary>Makes the group and its stock. Call when /sys/fs/cgroup is mounted.</summary>
    internal SandboxCgroup()
    {
        _root = Cgroup.Open("/sys/fs/cgroup");
        TryWrite(_root, "cgroup.subtree_control", "+cpu");
        TryWrite(_root, "cgroup.subtree_control", "+memory");
        TryWrite(_root, "cgroup.subtree_control", "+pids");
        // Not io: no limit needs it, and every write would be accounted to a group. The disks' own counters say how much in all.
        _sandbox = Make();
        Restock();
    }

    /// <summary>Forks that the limit of processes has refused, as last read.</summary>
    internal long RefusedForks { get; private set; }

    /// <summary>Descriptor that reports EPOLLPRI when a fork was refused; -1 where the kernel does not count.</summary>
    internal int RefusedForksFd => _pidsEvents is { } file ? (int)file.DangerousGetHandle() : -1;

    /// <summary>Forks that the limit of processes has refused by now.</summary>
    internal long ReadRefusedForks() => RefusedForks = CgroupFiles.Value(_pidsEvents, "max"u8) ?? RefusedForks;

    /// <summary>What all user processes use together.</summary>
    internal UsageResult ReadUsage()
    {
        using SafeFileHandle? cpu = TryOpen("cpu.stat");
        using SafeFileHandle? memory = TryOpen("memory.current");
        using SafeFileHandle? peak = TryOpen("memory.peak");
        using SafeFileHandle? memoryMax = TryOpen("memory.max");
        using SafeFileHandle? memoryEvents = TryOpen("memory.events");
        using SafeFileHandle? pids = TryOpen("pids.current");
        using SafeFileHandle? pidsMax = TryOpen("pids.max");
        (long Read, long Written)? disks = DiskTraffic.Read();
        return new UsageResult
        {
            CpuMicroseconds = CgroupFiles.Value(cpu, "usage_usec"u8) ?? 0,
            MemoryBytes = CgroupFiles.Number(memory),
            MemoryPeakBytes = CgroupFiles.Number(peak),
            MemoryLimitBytes = CgroupFiles.Number(memoryMax),
            Pids = CgroupFiles.Number(pids),
            PidsLimit = CgroupFiles.Number(pidsMax),
            ReadBytes = disks?.Read,
            WrittenBytes = disks?.Written,
            OutOfMemoryKills = CgroupFiles.Value(memoryEvents, "oom_kill"u8) ?? 0,
            RefusedForks = ReadRefusedForks(),
        };
    }

    /// <summary>Sets the limits of all user processes together; what is absent gets its default.</summary>
    internal void Apply(GuestLimits limits)
    {
        _limits = limits;
        var wanted = new CgroupLimits
        {
            PidsMax = limits.PidsMax ?? DefaultPidsMax,
            MemoryMaxBytes = Math.Min(limits.MemoryMaxBytes ?? long.MaxValue, RunningLimits.LargestMemory(GuestMemory.TotalBytes())),
            CpuMaxPercent = limits.CpuMaxPercent ?? GuestMemory.VcpuCount() * DefaultCpuPercent,
        };
        if (wanted != _applied)
        {
            _applied = null;
            _sandbox.Apply(wanted);
            _applied = wanted; // the golden snapshot has the defaults in place: a resume that asks for no others writes nothing
        }
    }

    /// <summary>An empty group for a command.</summary>
    internal ExecCgroup Take()
    {
        if (_idle.Count > 0)
        {
            return _idle.Pop();
        }

        ExecCgroup group = MakeExec();
        group.Begin();
        return group;
    }

    /// <summary>Takes an empty group back.</summary>
    internal void Return(ExecCgroup group)
    {
        if (_idle.Count < Stock)
        {
            group.Begin();
            _idle.Push(group);
        }
        else
        {
            Discard(group);
        }
    }

    /// <summary>Closes a group and removes it, unless it is in use.</summary>
    internal void Discard(ExecCgroup group)
    {
        group.Dispose();
        try
        {
            _ = _sandbox.TryRemoveChild(group.Name);
        }
        catch (CgroupException exception)
        {
            KernelConsole.WriteLine("opensandbox-agent: " + exception.Message);
        }
    }

    /// <summary>After a start failed because the group was gone: begins anew with whatever the sandbox's root has left of the tree.</summary>
    internal void Rebuild()
    {
        while (_idle.Count > 0)
        {
            Discard(_idle.Pop());
        }

        _sandbox.Dispose();
        _sandbox = Make();
        _applied = null;
        Apply(_limits);
    }

    private Cgroup Make()
    {
        Cgroup group = _root.CreateChild(Name);
        TryWrite(group, "cgroup.subtree_control", "+memory");
        _pidsEvents?.Dispose();
        _pidsEvents = TryOpen(group, "pids.events");
        return group;
    }

    private SafeFileHandle? TryOpen(string file) => TryOpen(_sandbox, file);

    private static SafeFileHandle? TryOpen(Cgroup group, string file)
    {
        try
        {
            return group.OpenControl(file);
        }
        catch (CgroupException)
        {
            return null; // a kernel without this controller, or the sandbox's root has removed the group
        }
    }

    private void Restock()
    {
        while (_idle.Count < Stock)
        {
            Return(MakeExec());
        }
    }

    private ExecCgroup MakeExec()
    {
        uint serial = ++_nextSerial;
        string name = "exec-" + serial.ToString(CultureInfo.InvariantCulture);
        return new ExecCgroup(_sandbox.CreateChild(name), name, serial);
    }

    private static void TryWrite(Cgroup group, string file, string value)
    {
        try
        {
            group.Write(file, value);
        }
        catch (CgroupException exception)
        {
            // A kernel without this controller runs commands without this limit; Apply fails if one was asked for.
            KernelConsole.WriteLine("opensandbox-agent: " + exception.Message);
        }
    }
}
