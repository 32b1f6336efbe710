using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>
/// All commands that run, also those whose session is over, and everything they leave behind. The single owner of child status: only this
/// class calls waitid. Belongs to the bulk loop's thread.
/// </summary>
internal sealed class CommandTable
{
    private const int SiginfoInts = 32;
    private const int SiginfoCode = 2;
    private const int SiginfoPid = 4;
    private const int SiginfoStatus = 6;

    private readonly Dictionary<uint, IGuestCommand> _running = [];
    private readonly Dictionary<uint, ExecCgroup> _leftGroups = [];
    private readonly List<ExecCgroup> _usedGroups = [];
    private readonly byte[] _scratch = new byte[64 * 1024];
    private readonly int _childSignals;
    private BulkLoop? _loop;
    private uint _nextKey;
    private bool _childrenEnded;

    internal CommandTable(SandboxCgroup cgroups)
    {
        Cgroups = cgroups;
        Span<ulong> mask = stackalloc ulong[16];
        mask.Clear();
        mask[0] = 1UL << (Linux.SIGCHLD - 1);
        _childSignals = GuestException.Check(Libc.SignalFd(-1, mask, Linux.SFD_CLOEXEC | Linux.SFD_NONBLOCK), "signalfd");
        DevPts = GuestException.Check(Libc.Open("/dev/pts"u8, Linux.O_PATH | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0), "open /dev/pts");
        NullDevice = GuestException.Check(Libc.Open("/dev/null"u8, Linux.O_RDWR | Linux.O_CLOEXEC, 0), "open /dev/null");
    }

    /// <summary>The sandbox's cgroups.</summary>
    internal SandboxCgroup Cgroups { get; }

    /// <summary>The sandbox's users.</summary>
    internal UserDatabase Users { get; } = new();

    /// <summary>Memory for spawns.</summary>
    internal SpawnArena Arena { get; } = new();

    /// <summary>Environment of every command, from the resume.</summary>
    internal Dictionary<string, string> Environment { get; set; } = [];

    /// <summary>/dev/null, opened before the sandbox could change it.</summary>
    internal int NullDevice { get; }

    /// <summary>The file system of terminals, opened before the sandbox could change it.</summary>
    internal int DevPts { get; }

    /// <summary>The image's environment.</summary>
    internal ImageEnvironment ImageEnvironment { get; } = new("/etc/environment");

    /// <summary>Processes that can be attached to, also those that have ended.</summary>
    internal ProcessTable Processes { get; } = new();

    private BulkLoop Loop => _loop ?? throw new InvalidOperationException("not attached");

    /// <summary>Connects the table to its loop.</summary>
    internal void Attach(BulkLoop loop)
    {
        _loop = loop;
        loop.Events.Add(_childSignals, Linux.EPOLLIN, EventKind.Children);
        WatchProcessLimit();
    }

    /// <summary>Counts refused forks as they happen, so that a command's start costs no look at the count. Call anew for a new cgroup.</summary>
    internal void WatchProcessLimit()
    {
        if (Cgroups.RefusedForksFd >= 0)
        {
            Loop.Events.Add(Cgroups.RefusedForksFd, Linux.EPOLLPRI | Linux.EPOLLET, EventKind.ProcessLimit);
        }
    }

    /// <summary>Closes the table's own descriptors. Its commands must be over.</summary>
    internal void Close()
    {
        DoIdleWork();
        Processes.Close();
        _ = Libc.Close(DevPts);
        _ = Libc.Close(_childSignals);
        _ = Libc.Close(NullDevice);
    }

    /// <summary>Takes a command in.</summary>
    /// <returns>Its key among the event sources.</returns>
    internal uint Register(IGuestCommand command)
    {
        uint key = ++_nextKey;
        _running.Add(key, command);
        return key;
    }

    /// <summary>Forgets a command that is over, and its group when that is empty.</summary>
    internal void Unregister(uint key, ExecCgroup group)
    {
        _running.Remove(key);
        _usedGroups.Add(group);
    }

    /// <summary>Finds a process, also an ended one that is kept.</summary>
    internal IGuestCommand? Find(uint key) => _running.TryGetValue(key, out IGuestCommand? command) ? command : Processes.Find(key);

    /// <summary>The keys of all processes, the oldest first.</summary>
    internal uint[] Keys()
    {
        var keys = new SortedSet<uint>(_running.Keys);
        foreach (ManagedProcess process in Processes.All)
        {
            keys.Add(process.Key);
        }

        return [.. keys];
    }

    /// <summary>Whether left-over processes of one use of a group are in it, and no others.</summary>
    internal bool IsLeft(ExecCgroup group, long use) =>
        group.Use == use && (_usedGroups.Contains(group) || (_leftGroups.TryGetValue(group.Serial, out ExecCgroup? left) && left == group))
        && group.IsPopulated;

    /// <summary>Keeps reading a pipe that left-over processes write to, so that they neither block nor die of SIGPIPE.</summary>
    internal void Discard(int pipe) => Loop.Events.Add(pipe, Linux.EPOLLIN, EventKind.LeftOverPipe, (uint)pipe);

    /// <summary>Hands an event to the command it is about. Events of commands that have just ended are dropped.</summary>
    internal void Dispatch(uint events, EventKind kind, uint key)
    {
        switch (kind)
        {
            case EventKind.Children:
                _childrenEnded = true;
                break;
            case EventKind.ProcessLimit:
                _ = Cgroups.ReadRefusedForks();
                break;
            case EventKind.Cgroup:
                CheckLeftGroup(key);
                break;
            case EventKind.LeftOverPipe:
                ReadLeftOver((int)key);
                break;
            default:
                if (_running.TryGetValue(key, out IGuestCommand? command))
                {
                    command.OnEvent(events, kind);
                }

                break;
        }
    }

    /// <summary>Reads the status of an ended command.</summary>
    /// <param name="pidfd">The command.</param>
    /// <param name="exited">Whether it ended by itself; if not, a signal ended it.</param>
    /// <param name="status">Exit code or signal.</param>
    /// <returns>Whether it has ended.</returns>
    internal static bool TryReap(int pidfd, out bool exited, out int status)
    {
        Span<int> info = stackalloc int[SiginfoInts];
        info.Clear();
        bool ended = Libc.WaitId(Linux.P_PIDFD, (uint)pidfd, info, Linux.WEXITED | Linux.WNOHANG | Linux.WALL) == 0 && info[SiginfoPid] != 0;
        exited = info[SiginfoCode] == Linux.CLD_EXITED;
        status = info[SiginfoStatus];
        return ended;
    }

    /// <summary>Milliseconds until <see cref="CheckDeadlines"/> has something to do; -1: nothing is due.</summary>
    internal int MillisecondsToNextDeadline()
    {
        if (_childrenEnded)
        {
            return 0;
        }

        long next = Processes.NextExpiry;
        foreach (IGuestCommand command in _running.Values)
        {
            next = Math.Min(next, command.Deadline);
        }

        return next == long.MaxValue ? -1 : (int)Math.Clamp(next - ClockTicks.Milliseconds + 1, 0, int.MaxValue);
    }

    /// <summary>Acts on deadlines that have passed.</summary>
    internal void CheckDeadlines()
    {
        if (_running.Count == 0 && Processes.All.Count == 0)
        {
            return;
        }

        long now = ClockTicks.Milliseconds;
        Processes.Expire(now);
        List<IGuestCommand>? due = null;
        foreach (IGuestCommand command in _running.Values)
        {
            if (command.Deadline <= now)
            {
                (due ??= []).Add(command);
            }
        }

        foreach (IGuestCommand command in due ?? [])
        {
            command.OnDeadline(now);
        }
    }

    /// <summary>The port takes bytes again: commands may produce output.</summary>
    internal void ResumeOutput()
    {
        foreach (IGuestCommand command in _running.Values)
        {
            command.UpdateInterest();
        }

        // Ended ones may still be read. One that was read to its end may be forgotten by that, so this goes over a copy.
        foreach (ManagedProcess process in Processes.All.Count == 0 ? [] : Processes.All.ToArray())
        {
            process.UpdateInterest();
        }
    }

    /// <summary>What can wait until answers have left: the groups of ended commands, and orphans.</summary>
    internal void DoIdleWork()
    {
        ReturnGroups();
        if (!_childrenEnded)
        {
            return;
        }

        _childrenEnded = false;
        Span<byte> signals = stackalloc byte[128];
        _ = Libc.Read(_childSignals, signals, (nuint)signals.Length);
        Span<int> info = stackalloc int[SiginfoInts];
        while (true)
        {
            info.Clear();
            if (Libc.WaitId(Linux.P_ALL, 0, info, Linux.WEXITED | Linux.WNOHANG | Linux.WNOWAIT | Linux.WALL) < 0 || info[SiginfoPid] == 0)
            {
                return;
            }

            int pid = info[SiginfoPid];
            if (FindByPid(pid) is { } command)
            {
                // Its own event is on its way; its status is taken there or here, by the same code.
                command.OnEvent(Linux.EPOLLIN, EventKind.Process);
            }
            else
            {
                _ = Libc.WaitId(Linux.P_PID, (uint)pid, info, Linux.WEXITED | Linux.WNOHANG | Linux.WALL);
            }
        }
    }

    private IGuestCommand? FindByPid(int pid)
    {
        foreach (IGuestCommand command in _running.Values)
        {
            if (command.UnreapedPid == pid)
            {
                return command;
            }
        }

        return null;
    }

    private void ReturnGroups()
    {
        foreach (ExecCgroup group in _usedGroups)
        {
            if (group.IsPopulated)
            {
                _leftGroups.Add(group.Serial, group);
                Loop.Events.Add(group.EventsFd, Linux.EPOLLPRI | Linux.EPOLLET, EventKind.Cgroup, group.Serial);
                CheckLeftGroup(group.Serial); // it may have become empty just before it was watched
            }
            else
            {
                Cgroups.Return(group);
            }
        }

        _usedGroups.Clear();
    }

    private void CheckLeftGroup(uint serial)
    {
        if (_leftGroups.TryGetValue(serial, out ExecCgroup? group) && !group.IsPopulated)
        {
            _leftGroups.Remove(serial);
            Loop.Events.Remove(group.EventsFd);
            Cgroups.Return(group);
        }
    }

    private void ReadLeftOver(int pipe)
    {
        nint count = Libc.Read(pipe, _scratch, (nuint)_scratch.Length);
        if (count == 0 || (count < 0 && Marshal.GetLastPInvokeError() is not (Errno.EAGAIN or Errno.EINTR)))
        {
            _ = Libc.Close(pipe);
        }
    }
}
