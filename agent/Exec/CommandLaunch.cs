using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Turns a request into a process: user, environment, paths, pipes, cgroup.</summary>
/// <param name="commands">The table of commands.</param>
/// <param name="request">The request.</param>
/// <param name="start">What a managed process has beyond that.</param>
internal sealed class CommandLaunch(CommandTable commands, ExecRequest request, ProcessStartRequest? start = null)
{
    private const string DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    private const string DefaultDirectory = "/workspace";
    private const string DefaultTerminal = "xterm-256color";
    private const int MaxPathEntries = 64;
    private const int NoGroup = 19; // ENODEV of clone3: the cgroup was removed

    private int _outputWrite = -1;
    private int _errorWrite = -1;
    private int _inputRead = -1;
    private int _reportWrite = -1;
    private int _terminal = -1;

    /// <summary>The command's cgroup.</summary>
    internal ExecCgroup? Group { get; private set; }

    /// <summary>The process.</summary>
    internal int Pid { get; private set; }

    /// <summary>Just before the fork, microseconds of <see cref="ClockTicks"/>.</summary>
    internal long StartedAt { get; private set; }

    /// <summary>The process as a descriptor.</summary>
    internal int PidFd { get; private set; } = -1;

    /// <summary>Reading end of standard output.</summary>
    internal int OutputFd { get; private set; } = -1;

    /// <summary>Reading end of standard error.</summary>
    internal int ErrorFd { get; private set; } = -1;

    /// <summary>Writing end of standard input; -1: it is /dev/null.</summary>
    internal int InputFd { get; private set; } = -1;

    /// <summary>Reading end of the report pipe; -1: there is none.</summary>
    internal int ReportFd { get; private set; } = -1;

    /// <summary>Name of the user that it runs as.</summary>
    internal string User { get; private set; } = "";

    /// <summary>Forks that had been refused in the sandbox when it was started.</summary>
    internal long RefusedBefore { get; private set; }

    /// <summary>Starts the process.</summary>
    /// <exception cref="GuestException">It did not start; nothing is left of the attempt.</exception>
    internal void Run()
    {
        Validate();
        GuestUser user = commands.Users.Find(request.User);
        User = user.Name;
        RefusedBefore = commands.Cgroups.RefusedForks;
        Dictionary<string, string> environment = MergeEnvironment(user);
        SpawnLimit[] limits = Limits();
        bool started = false;
        try
        {
            OpenStreams(user);
            Group = commands.Cgroups.Take();
            Spawn(user, environment, limits);
            started = true;
        }
        finally
        {
            Close(ref _outputWrite);
            Close(ref _errorWrite);
            Close(ref _inputRead);
            Close(ref _reportWrite);
            Close(ref _terminal);
            if (!started)
            {
                Abandon();
            }
        }
    }

    private void Validate()
    {
        if (request.Argv.Length == 0 || string.IsNullOrEmpty(request.Argv[0]))
        {
            GuestException.ThrowInvalid("argv: at least one argument, the first not empty");
        }

        foreach (string argument in request.Argv)
        {
            if (argument is null || argument.Contains('\0', StringComparison.Ordinal))
            {
                GuestException.ThrowInvalid("argv: no nulls and no NUL characters");
            }
        }

        if (request.WorkingDirectory is { } directory
            && (directory.Length == 0 || directory[0] != '/' || directory.Contains('\0', StringComparison.Ordinal)))
        {
            GuestException.ThrowInvalid("workingDirectory: an absolute path without NUL");
        }
    }

    private Dictionary<string, string> MergeEnvironment(GuestUser user)
    {
        var merged = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["PATH"] = DefaultPath,
            ["HOME"] = user.Home,
            ["USER"] = user.Name,
            ["LOGNAME"] = user.Name,
            ["SHELL"] = user.Shell,
            ["LANG"] = "C.UTF-8",
        };
        Overlay(merged, commands.ImageEnvironment.Read());
        Overlay(merged, commands.Environment);
        if (start?.Terminal is { } terminal)
        {
            merged["TERM"] = terminal.Type ?? DefaultTerminal;
        }

        Overlay(merged, request.Environment);
        return merged;
    }

    private static void Overlay(Dictionary<string, string> target, Dictionary<string, string>? source)
    {
        if (source is null)
        {
            return;
        }

        foreach ((string name, string value) in source)
        {
            if (name.Length == 0 || name.Contains('=', StringComparison.Ordinal) || name.Contains('\0', StringComparison.Ordinal)
                || value is null || value.Contains('\0', StringComparison.Ordinal))
            {
                GuestException.ThrowInvalid("environment: names without = and NUL, values without NUL");
            }

            target[name] = value;
        }
    }

    private SpawnLimit[] Limits()
    {
        if (start?.Limits is not { } limits)
        {
            return [];
        }

        if (limits.CpuSeconds is < 1 || limits.AddressSpaceBytes is < 1 || limits.FileSizeBytes is < 0 || limits.OpenFiles is < 3 or > 1 << 20)
        {
            GuestException.ThrowInvalid("limits: out of range");
        }

        var list = new List<SpawnLimit>();
        Add(list, Linux.RLIMIT_CPU, limits.CpuSeconds, 1); // a second between SIGXCPU and SIGKILL
        Add(list, Linux.RLIMIT_AS, limits.AddressSpaceBytes, 0);
        Add(list, Linux.RLIMIT_FSIZE, limits.FileSizeBytes, 0);
        Add(list, Linux.RLIMIT_NOFILE, limits.OpenFiles, 0);
        return [.. list];
    }

    private static void Add(List<SpawnLimit> list, int resource, long? value, ulong more)
    {
        if (value is { } soft)
        {
            list.Add(new SpawnLimit { Resource = (ulong)resource, Soft = (ulong)soft, Hard = (ulong)soft + more });
        }
    }

    private void OpenStreams(GuestUser user)
    {
        try
        {
            if (start?.Terminal is { } terminal)
            {
                OpenTerminal(terminal, user);
            }
            else
            {
                OpenPipes();
            }
        }
        catch (GuestException failure) when (failure.Code == AgentErrorCodes.System)
        {
            throw GuestException.AtStep(StartSteps.Streams, AgentErrorCodes.SpawnFailed, failure.Message, failure.Errno);
        }
    }

    private void OpenTerminal(TerminalRequest terminal, GuestUser user)
    {
        (OutputFd, _terminal) = PseudoTerminal.Open(commands.DevPts, terminal, user.Uid);
        InputFd = GuestException.Check(Libc.FCntl(OutputFd, Linux.F_DUPFD_CLOEXEC, 3), "dup"); // an epoll entry of its own
    }

    private void OpenPipes()
    {
        (OutputFd, _outputWrite) = OpenPipe();
        (ErrorFd, _errorWrite) = OpenPipe();
        SetNonblocking(OutputFd);
        SetNonblocking(ErrorFd);
        if (request.StandardInput)
        {
            (_inputRead, InputFd) = OpenPipe();
            SetNonblocking(InputFd);
        }

        if (start is { Report: true })
        {
            (ReportFd, _reportWrite) = OpenPipe();
            SetNonblocking(ReportFd);
        }
    }

    private static (int Read, int Write) OpenPipe()
    {
        Span<int> ends = stackalloc int[2];
        _ = GuestException.Check(Libc.Pipe2(ends, Linux.O_CLOEXEC), "pipe");
        return (ends[0], ends[1]);
    }

    // Only the agent's ends: the flag belongs to the open file, and programs expect blocking descriptors.
    private static void SetNonblocking(int fd) => _ = GuestException.Check(Libc.FCntl(fd, Linux.F_SETFL, Linux.O_NONBLOCK), "fcntl");

    private void Spawn(GuestUser user, Dictionary<string, string> environment, SpawnLimit[] limits)
    {
        SpawnBlock block = default;
        if (TrySpawn(user, environment, limits, ref block))
        {
            return;
        }

        if (block.Step == (int)SpawnStep.Clone && block.Error is NoGroup or Errno.ENOENT)
        {
            commands.Cgroups.Discard(Group!);
            Group = null;
            commands.Cgroups.Rebuild();
            commands.WatchProcessLimit();
            Group = commands.Cgroups.Take();
            if (TrySpawn(user, environment, limits, ref block))
            {
                return;
            }
        }

        string subject = (SpawnStep)block.Step switch
        {
            SpawnStep.WorkingDirectory => request.WorkingDirectory ?? DefaultDirectory,
            SpawnStep.Clone when block.Error == Errno.EAGAIN => "no more processes: pids.max is reached",
            _ => request.Argv[0],
        };
        throw GuestException.AtStep(
            SpawnSteps.Name((SpawnStep)block.Step),
            AgentErrorCodes.SpawnFailed,
            $"{Errno.Describe(block.Error)}: {subject} ({SpawnSteps.Name((SpawnStep)block.Step)})",
            block.Error);
    }

    private unsafe bool TrySpawn(GuestUser user, Dictionary<string, string> environment, SpawnLimit[] limits, ref SpawnBlock block)
    {
        SpawnArena arena = commands.Arena;
        arena.Reset();
        int argv = arena.PointerCount;
        foreach (string argument in request.Argv)
        {
            arena.AddPointed(argument);
        }

        arena.AddNull();
        int shell = arena.PointerCount;
        arena.AddPointed("/bin/sh");
        arena.AddNull(); // the child puts the script here
        for (int i = 1; i < request.Argv.Length; i++)
        {
            arena.AddPointed(request.Argv[i]);
        }

        arena.AddNull();
        int env = arena.PointerCount;
        foreach ((string name, string value) in environment)
        {
            arena.AddPointer(arena.StringPosition);
            arena.AddString(name, terminated: false);
            arena.AddString("=", terminated: false);
            arena.AddString(value, terminated: true);
        }

        arena.AddNull();
        int paths = arena.PointerCount;
        AddPaths(arena, environment["PATH"]);
        arena.AddNull();
        int directory = arena.StringPosition;
        arena.AddString(request.WorkingDirectory ?? DefaultDirectory, terminated: true);
        arena.Resolve();

        // JUSTIFICATION: the child reads these blocks by address while this thread stands still in osb_spawn.
        // SAFETY: the arena is unmanaged and unchanged until the call returns; the groups and limits are pinned for its duration.
        fixed (uint* groups = user.Groups)
        fixed (SpawnLimit* limited = limits)
        {
            block = new SpawnBlock
            {
                Paths = arena.List(paths),
                Argv = arena.List(argv),
                ShellArgv = arena.List(shell),
                Environment = arena.List(env),
                WorkingDirectory = arena.StringAt(directory),
                WorkingDirectoryOptional = request.WorkingDirectory is null ? 1 : 0,
                Groups = groups,
                GroupCount = (uint)user.Groups.Length,
                Uid = user.Uid,
                Gid = user.Gid,
                Limits = limited,
                LimitCount = (uint)limits.Length,
                Terminal = _terminal >= 0 ? 1 : 0,
                Report = _reportWrite,
                StandardInput = _terminal >= 0 ? _terminal : request.StandardInput ? _inputRead : commands.NullDevice,
                StandardOutput = _terminal >= 0 ? _terminal : _outputWrite,
                StandardError = _terminal >= 0 ? _terminal : _errorWrite,
                Cgroup = Group!.DirectoryFd,
            };
            StartedAt = ClockTicks.Microseconds;
            if (NativeSpawn.Spawn(ref block) < 0)
            {
                return false;
            }
        }

        Pid = block.Pid;
        PidFd = block.PidFd;
        return true;
    }

    private void AddPaths(SpawnArena arena, string path)
    {
        string program = request.Argv[0];
        if (program.Contains('/', StringComparison.Ordinal))
        {
            arena.AddPointed(program);
            return;
        }

        int entries = 0;
        foreach (Range range in path.AsSpan().Split(':'))
        {
            if (entries++ == MaxPathEntries)
            {
                break;
            }

            string folder = path[range]; // an empty one is the working directory
            arena.AddPointed(folder.Length == 0 ? "./" + program : folder + "/" + program);
        }
    }

    private void Abandon()
    {
        int fd = OutputFd;
        Close(ref fd);
        fd = ErrorFd;
        Close(ref fd);
        fd = InputFd;
        Close(ref fd);
        fd = ReportFd;
        Close(ref fd);
        if (Group is not null)
        {
            commands.Cgroups.Return(Group);
        }
    }

    private static void Close(ref int fd)
    {
        if (fd >= 0)
        {
            _ = Libc.Close(fd);
            fd = -1;
        }
    }
}
