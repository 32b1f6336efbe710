using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>One command: from its request to its result. Belongs to the bulk loop's thread.</summary>
/// <remarks>
/// A command is over when its process is. What it had written by then is always delivered. Left-over processes that hold its output get
/// <see cref="DrainQuietMilliseconds"/> without output, and <see cref="DrainLimitMilliseconds"/> in all, to let go; then the result says
/// that the output was cut, and what they write later is dropped.
/// </remarks>
/// <param name="loop">The loop.</param>
/// <param name="id">The stream's id.</param>
/// <param name="request">The request.</param>
internal sealed class ExecStream(BulkLoop loop, uint id, ExecRequest request) : BulkStream(loop, id), IGuestCommand
{
    private const int DrainQuietMilliseconds = 50;
    private const int DrainLimitMilliseconds = 500;
    private const int KilledLimitMilliseconds = 2_000; // what was killed together ends together, but large processes take their time

    private readonly OutputPipe _output = new(loop, DataChannel.StandardOutput);
    private readonly OutputPipe _error = new(loop, DataChannel.StandardError);
    private readonly InputPipe _input = new(loop);
    private ExecCgroup? _group;
    private string _user = "";
    private long _refusedBefore;
    private uint _key;
    private int _pid;
    private int _pidfd = -1;
    private int _room = ProtocolConstants.CreditWindow;
    private long _startedAt;
    private long _timeoutAt = long.MaxValue;
    private long _quietAt = long.MaxValue;
    private long _drainLimitAt = long.MaxValue;
    private long _wall;
    private bool _exited;
    private bool _byItself;
    private int _status;
    private bool _timedOut;
    private bool _cancelled;
    private bool _lost;

    /// <summary>The process, until its status was taken; then 0.</summary>
    public int UnreapedPid => _exited ? 0 : _pid;

    /// <summary>When <see cref="OnDeadline"/> should be called, milliseconds of <see cref="ClockTicks"/>.</summary>
    public long Deadline => _exited ? Math.Min(_quietAt, _drainLimitAt) : _timeoutAt;

    private ExecCgroup Group => _group ?? throw new InvalidOperationException("not started");

    /// <summary>Starts the command.</summary>
    /// <exception cref="GuestException">It cannot be started; nothing is left of it.</exception>
    internal void Start()
    {
        if (request.TimeoutMilliseconds is <= 0)
        {
            GuestException.ThrowInvalid("timeoutMilliseconds: at least 1");
        }

        var launch = new CommandLaunch(Loop.Commands, request);
        launch.Run();
        _startedAt = launch.StartedAt;
        _user = launch.User;
        _refusedBefore = launch.RefusedBefore;
        _group = launch.Group;
        _pid = launch.Pid;
        _pidfd = launch.PidFd;
        _output.Open(launch.OutputFd);
        _error.Open(launch.ErrorFd);
        if (launch.InputFd >= 0)
        {
            _input.Open(launch.InputFd);
        }

        _key = Loop.Commands.Register(this);
        Loop.Events.Add(_pidfd, Linux.EPOLLIN, EventKind.Process, _key);
        UpdateInterest();
        if (request.TimeoutMilliseconds is { } timeout)
        {
            _timeoutAt = ClockTicks.Milliseconds + timeout;
        }

        Loop.SendStarted(Id, new StartedReply { Pid = _pid });
    }

    /// <summary>Something happened to the process or one of its pipes.</summary>
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
            case EventKind.StandardInput:
                InputTaken(_input.Flush());
                break;
            default:
                throw new InvalidOperationException($"event {kind}");
        }

        FinishIfDone();
    }

    /// <summary><see cref="Deadline"/> has passed.</summary>
    public void OnDeadline(long now)
    {
        if (!_exited)
        {
            _timeoutAt = long.MaxValue;
            _timedOut = true;
            Group.Kill();
        }
        else
        {
            OnDrainDeadline(now);
        }
    }

    internal override void OnData(ReadOnlySpan<byte> bytes) => InputTaken(_input.Write(bytes, _key));

    internal override void OnEnd() => _input.End();

    internal override void OnCredit(int bytes)
    {
        _room = Math.Min(_room + bytes, ProtocolConstants.CreditWindow);
        UpdateInterest();
    }

    internal override void OnCancel()
    {
        _cancelled = true;
        Group.Kill();
        FinishIfDone();
    }

    internal override void OnSignal(SignalRequest signal)
    {
        if (signal.WholeCgroup)
        {
            Group.Kill();
        }
        else
        {
            _ = Signal(signal.Signal);
        }
    }

    /// <inheritdoc/>
    public bool Signal(int signal)
    {
        // The process is not reaped, so its number, which is also its group's, cannot belong to another one. It may just have ended.
        return !_exited && Libc.KillProcess(-_pid, signal) == 0;
    }

    /// <inheritdoc/>
    public bool Kill()
    {
        Group.Kill();
        return true;
    }

    /// <inheritdoc/>
    public ProcessEntry Describe(uint key) => new()
    {
        Id = ProcessEntries.Id(key),
        Pid = _pid,
        Command = ProcessEntries.Shortened(request.Argv),
        User = ProcessEntries.Shortened(_user),
        StartedNanoseconds = ProcessEntries.WallClock(_startedAt),
        CpuMicroseconds = Group.CpuMicroseconds,
        MemoryBytes = Group.MemoryBytes,
    };

    internal override void OnSessionLost()
    {
        _lost = true;
        Group.Kill();
        FinishIfDone();
    }

    /// <summary>Reads output only while the host and the port have room for it.</summary>
    public void UpdateInterest()
    {
        bool wanted = _lost || _cancelled || (_room > 0 && Loop.MayWrite);
        _output.Watch(wanted, _key);
        _error.Watch(wanted, _key);
    }

    private void Pump(OutputPipe pipe, uint events)
    {
        if (pipe.IsClosed)
        {
            return;
        }

        if (_lost || _cancelled)
        {
            pipe.Close(); // everything that could write is being killed, and nobody wants to know
            return;
        }

        int sent = pipe.Pump(events, Id, _room);
        if (sent > 0)
        {
            _room -= sent;
            Loop.NoteOutput();
            if (_exited && !_timedOut)
            {
                _quietAt = ClockTicks.Milliseconds + DrainQuietMilliseconds;
            }
        }

        if (_room == 0 || !Loop.MayWrite)
        {
            UpdateInterest();
        }
    }

    private void InputTaken(int bytes)
    {
        if (bytes > 0 && !_lost)
        {
            Consumed(bytes);
        }
    }

    private void OnProcessEnded()
    {
        if (_exited || !CommandTable.TryReap(_pidfd, out _byItself, out _status))
        {
            return;
        }

        _exited = true;
        _wall = ClockTicks.Microseconds - _startedAt;
        _ = Libc.Close(_pidfd);
        InputTaken(_input.Close());
        _output.MeasureOwed();
        _error.MeasureOwed();
        long now = ClockTicks.Milliseconds;
        bool allKilled = _timedOut || (!_byItself && _status == Linux.SIGKILL);
        _quietAt = now + (allKilled ? KilledLimitMilliseconds : DrainQuietMilliseconds);
        _drainLimitAt = now + (allKilled ? KilledLimitMilliseconds : DrainLimitMilliseconds);
    }

    /// <summary>
    /// The left-over processes' time is up. What the command itself had written is read here, without waiting for the pipes to say that there
    /// is something: if left-over processes have read it, they never do.
    /// </summary>
    private void OnDrainDeadline(long now)
    {
        PumpOwed(_output);
        PumpOwed(_error);
        if (_output.Owed > 0 || _error.Owed > 0)
        {
            _quietAt = _drainLimitAt = now + DrainQuietMilliseconds; // the host has yet to make room for it
            return;
        }

        Conclude();
    }

    /// <summary>Reads what is owed, as far as the host and the port have room for it.</summary>
    private void PumpOwed(OutputPipe pipe)
    {
        pipe.ForgetTaken();
        while (pipe.Owed > 0 && _room > 0 && Loop.MayWrite)
        {
            long before = pipe.Owed;
            Pump(pipe, Linux.EPOLLIN);
            if (pipe.Owed == before)
            {
                return; // interrupted
            }
        }
    }

    private void FinishIfDone()
    {
        if (_exited && (_lost || _cancelled || (_output.IsClosed && _error.IsClosed)))
        {
            Conclude();
        }
    }

    private void Conclude()
    {
        _quietAt = _drainLimitAt = long.MaxValue;
        bool cut = LetGo(_output) | LetGo(_error);
        if (_cancelled)
        {
            Loop.Fail(this, AgentErrors.Make(AgentErrorCodes.Cancelled, 0, "cancelled; the command was killed"));
        }
        else if (!_lost)
        {
            var result = new ExecResultMessage
            {
                ExitCode = _byItself ? _status : null,
                Signal = _byItself ? null : _status,
                TimedOut = _timedOut,
                OutOfMemory = !_byItself && _status == Linux.SIGKILL && Group.RanOutOfMemory,
                ProcessLimitHit = Loop.Commands.Cgroups.ReadRefusedForks() > _refusedBefore,
                OutputCut = cut,
                WallMicroseconds = _wall,
                CpuMicroseconds = Group.CpuMicroseconds,
            };
            Loop.Finish(this, result, ProtocolJsonContext.Default.ExecResultMessage);
        }

        Loop.Commands.Unregister(_key, Group);
    }

    private bool LetGo(OutputPipe pipe)
    {
        if (pipe.IsClosed)
        {
            return false;
        }

        Loop.Commands.Discard(pipe.Release(_key));
        return true;
    }
}
