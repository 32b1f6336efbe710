using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// A process whose output is kept in a ring, for readers that come and go. Belongs to the bulk loop's thread. This part: its life;
/// ManagedProcess.Readers has who reads and writes, ManagedProcess.Owed what has to be read before something else can be told.
/// </summary>
/// <remarks>
/// It is over when its process is. What it had written by then always comes into the ring; left-over processes that hold its output get
/// <see cref="DrainQuietMilliseconds"/> without output, and <see cref="DrainLimitMilliseconds"/> in all, to let go.
/// </remarks>
internal sealed partial class ManagedProcess : IGuestCommand
{
    private const int DrainQuietMilliseconds = 50;
    private const int DrainLimitMilliseconds = 500;
    private const int KilledLimitMilliseconds = 2_000; // what was killed together ends together, but large processes take their time
    private const int HangUpMilliseconds = 500;

    private readonly BulkLoop _loop;
    private readonly ProcessStartRequest _request;
    private readonly string _user;
    private readonly CapturePipe _output;
    private readonly CapturePipe _error;
    private readonly CapturePipe _report;
    private readonly SharedInput _input;
    private readonly ExecCgroup _group;
    private readonly long _groupUse;
    private readonly int _pidfd;
    private readonly long _startedAt;
    private readonly long _refusedBefore;
    private long _timeoutAt = long.MaxValue;
    private long _killAt = long.MaxValue;
    private long _quietAt = long.MaxValue;
    private long _drainLimitAt = long.MaxValue;
    private long _wall;
    private bool _exited;
    private bool _byItself;
    private int _status;
    private bool _timedOut;
    private ProcessMark? _mark;

    private ManagedProcess(BulkLoop loop, ProcessStartRequest request, CommandLaunch launch)
    {
        _loop = loop;
        _request = request;
        Detached = request.Detached;
        _user = ProcessEntries.Shortened(launch.User);
        _output = new CapturePipe(loop, DataChannel.StandardOutput, EventKind.StandardOutput);
        _error = new CapturePipe(loop, DataChannel.StandardError, EventKind.StandardError);
        _report = new CapturePipe(loop, DataChannel.Report, EventKind.Report);
        _input = new SharedInput(loop);
        Ring = new ScrollbackRing(loop.Commands.Processes.Memory, request.RingBytes ?? ProcessTable.DefaultRingBytes);
        _group = launch.Group!;
        _groupUse = _group.Use;
        Pid = launch.Pid;
        _pidfd = launch.PidFd;
        _startedAt = launch.StartedAt;
        _refusedBefore = launch.RefusedBefore;
        _output.Open(launch.OutputFd);
        _error.Open(launch.ErrorFd);
        _report.Open(launch.ReportFd);
        HasInput = launch.InputFd >= 0;
        if (HasInput)
        {
            _input.Open(launch.InputFd);
        }

        if (request.Command.TimeoutMilliseconds is { } timeout)
        {
            _timeoutAt = ClockTicks.Milliseconds + timeout;
        }

        Key = loop.Commands.Register(this);
        loop.Events.Add(_pidfd, Linux.EPOLLIN, EventKind.Process, Key);
        _report.Watch(wanted: true, Key);
    }

    /// <summary>Its key among the event sources, and its id as a number.</summary>
    internal uint Key { get; }

    /// <summary>The process.</summary>
    internal int Pid { get; }

    /// <summary>Its output.</summary>
    internal ScrollbackRing Ring { get; }

    /// <summary>How it ended, once all its output is in the ring.</summary>
    internal ExecResultMessage? Result { get; private set; }

    /// <summary>When <see cref="Result"/> was known, milliseconds of <see cref="ClockTicks"/>.</summary>
    internal long EndedAt { get; private set; }

    /// <summary>Whether it goes on without the stream that started it.</summary>
    internal bool Detached { get; private set; }

    /// <summary>Whether it runs on a terminal.</summary>
    internal bool Terminal => _request.Terminal is not null;

    /// <summary>Whether its standard input can be written.</summary>
    internal bool HasInput { get; }

    /// <inheritdoc/>
    public int UnreapedPid => _exited ? 0 : Pid;

    /// <inheritdoc/>
    public long Deadline => !_exited ? Math.Min(_timeoutAt, _killAt)
        : IsHeldUp ? _killAt
        : Math.Min(_killAt, Math.Min(_quietAt, _drainLimitAt));

    /// <summary>Whether the process is over, its output is not all in the ring, and a reader has to make room first.</summary>
    private bool IsHeldUp => (_output.Owed > 0 || _error.Owed > 0) && !Ring.HasRoom(Hold);

    /// <summary>Starts a process.</summary>
    /// <exception cref="GuestException">It cannot be started; nothing is left of it.</exception>
    internal static ManagedProcess Start(BulkLoop loop, ProcessStartRequest request)
    {
        Validate(request);
        loop.Commands.Processes.MakeRoom();
        var launch = new CommandLaunch(loop.Commands, request.Command, request);
        launch.Run();
        return new ManagedProcess(loop, request, launch);
    }

    /// <inheritdoc/>
    public void OnEvent(uint events, EventKind kind)
    {
        switch (kind)
        {
            case EventKind.Process:
                OnProcessEnded();
                break;
            case EventKind.StandardOutput:
                Pump(_output, events);
                break;
            case EventKind.StandardError:
                Pump(_error, events);
                break;
            case EventKind.Report:
                OnReport(events);
                break;
            case EventKind.StandardInput:
                _input.Flush();
                break;
            default:
                throw new InvalidOperationException($"event {kind}");
        }

        PassReports();
        ConcludeIfDone();
    }

    /// <inheritdoc/>
    public void OnDeadline(long now)
    {
        if (_killAt <= now)
        {
            _killAt = long.MaxValue;
            _ = Kill();
        }
        else if (!_exited)
        {
            _timeoutAt = long.MaxValue;
            _timedOut = true;
            _group.Kill();
        }
        else
        {
            OnDrainDeadline(now);
        }
    }

    /// <inheritdoc/>
    public bool Signal(int signal)
    {
        // The process is not reaped, so its number, which is also its group's, cannot belong to another one. It may just have ended.
        return !_exited && Libc.KillProcess(-Pid, signal) == 0;
    }

    /// <inheritdoc/>
    public bool Kill()
    {
        if (Result is null || _loop.Commands.IsLeft(_group, _groupUse))
        {
            _group.Kill();
            return true;
        }

        return false;
    }

    /// <summary>Notes what it has started so far, for <see cref="KillSinceMark"/>.</summary>
    /// <returns>Whether it has not ended.</returns>
    internal bool Mark()
    {
        _mark = _exited ? null : ProcessMark.Take(_group);
        return !_exited;
    }

    /// <summary>Kills it and what it has started since <see cref="Mark"/>.</summary>
    /// <returns>Whether it had not ended.</returns>
    internal bool KillSinceMark()
    {
        if (_mark is null && !_exited)
        {
            GuestException.ThrowInvalid("sinceMark: there is no mark");
        }

        return !_exited && _mark!.KillSince(_group, Pid);
    }

    /// <summary>It is to go on without the stream that started it: that one's session has ended because the sandbox was saved.</summary>
    internal void Detach() => Detached = true;

    /// <summary>The one who it belonged to has gone: it ends, unless it was started to go on.</summary>
    internal void OnOwnerGone()
    {
        if (Detached)
        {
            return;
        }

        if (Terminal && !_exited && !_output.IsClosed)
        {
            PseudoTerminal.HangUp(_output.Fd, Pid);
            _killAt = ClockTicks.Milliseconds + HangUpMilliseconds;
        }
        else
        {
            _ = Kill();
        }
    }

    /// <summary>Changes the size of the terminal.</summary>
    /// <returns>Whether there still was one.</returns>
    internal bool Resize(int columns, int rows)
    {
        if (!Terminal)
        {
            GuestException.ThrowInvalid("the process has no terminal");
        }

        if (_output.IsClosed)
        {
            return false;
        }

        PseudoTerminal.Resize(_output.Fd, columns, rows);
        return true;
    }

    /// <inheritdoc/>
    public ProcessEntry Describe(uint key) => new()
    {
        Id = ProcessEntries.Id(Key),
        Pid = Pid,
        Command = ProcessEntries.Shortened(_request.Command.Argv),
        User = _user,
        StartedNanoseconds = ProcessEntries.WallClock(_startedAt),
        Exit = Result,
        Managed = true,
        Detached = Detached,
        Terminal = Terminal,
        CpuMicroseconds = Result is null ? _group.CpuMicroseconds : null,
        MemoryBytes = Result is null ? _group.MemoryBytes : null,
        OutputStart = Ring.First,
        OutputEnd = Ring.End,
    };

    private static void Validate(ProcessStartRequest request)
    {
        if (request.Command.TimeoutMilliseconds is <= 0)
        {
            GuestException.ThrowInvalid("timeoutMilliseconds: at least 1");
        }

        if (request.RingBytes is < ProcessTable.MinRingBytes or > ProcessTable.MaxRingBytes)
        {
            GuestException.ThrowInvalid($"ringBytes: {ProcessTable.MinRingBytes} to {ProcessTable.MaxRingBytes}");
        }

        if (request is { Report: true, Terminal: not null })
        {
            GuestException.ThrowInvalid("report: not with a terminal");
        }
    }

    private void Pump(CapturePipe pipe, uint events)
    {
        if (pipe.IsClosed)
        {
            return;
        }

        if ((events & Linux.EPOLLIN) == 0)
        {
            pipe.Close(); // hung up and empty
        }
        else if (pipe.Pump(Ring, Hold) > 0)
        {
            if (_exited && !_timedOut)
            {
                _quietAt = ClockTicks.Milliseconds + DrainQuietMilliseconds;
            }

            Deliver();
        }

        UpdatePipes();
    }

    private void OnProcessEnded()
    {
        if (_exited || !CommandTable.TryReap(_pidfd, out _byItself, out _status))
        {
            return;
        }

        _exited = true;
        _mark = null;
        _wall = ClockTicks.Microseconds - _startedAt;
        _ = Libc.Close(_pidfd);
        _input.Close();
        _output.MeasureOwed();
        _error.MeasureOwed();
        long now = ClockTicks.Milliseconds;
        bool allKilled = _timedOut || (!_byItself && _status == Linux.SIGKILL);
        _quietAt = now + (allKilled ? KilledLimitMilliseconds : DrainQuietMilliseconds);
        _drainLimitAt = now + (allKilled ? KilledLimitMilliseconds : DrainLimitMilliseconds);
    }

    private void ConcludeIfDone()
    {
        if (_exited && Result is null && _output.IsClosed && _error.IsClosed)
        {
            Conclude();
        }
    }

    private void Conclude()
    {
        if (_killAt != long.MaxValue)
        {
            _group.Kill(); // it went at the hang-up; what is left of its session goes now
        }

        _quietAt = _drainLimitAt = _killAt = long.MaxValue;
        bool cut = !_output.IsClosed || !_error.IsClosed;
        if (Terminal)
        {
            _output.Close(); // which hangs up on whoever is left
        }
        else
        {
            LetGo(_output);
            LetGo(_error);
        }

        _report.Close();
        Result = new ExecResultMessage
        {
            ExitCode = _byItself ? _status : null,
            Signal = _byItself ? null : _status,
            TimedOut = _timedOut,
            OutOfMemory = !_byItself && _status == Linux.SIGKILL && _group.RanOutOfMemory,
            ProcessLimitHit = _loop.Commands.Cgroups.ReadRefusedForks() > _refusedBefore,
            OutputCut = cut,
            LeftProcesses = _group.IsPopulated,
            WallMicroseconds = _wall,
            CpuMicroseconds = _group.CpuMicroseconds,
        };
        EndedAt = ClockTicks.Milliseconds;
        _loop.Commands.Unregister(Key, _group);
        _loop.Commands.Processes.OnEnded(this);
        Deliver();
    }

    private void LetGo(CapturePipe pipe)
    {
        if (!pipe.IsClosed)
        {
            _loop.Commands.Discard(pipe.Release(Key));
        }
    }
}
