using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// The bulk port's thread: one epoll over the port, commands, their pipes and messages of other threads. All state of streams and
/// commands belongs to it, so there are no locks.
/// </summary>
internal sealed partial class BulkLoop
{
    private const int MaxStreams = 1024;
    private const int HoldStartedMilliseconds = 2;
    private const int MaxReadsPerTurn = 64;
    private const int PortBufferSize = 4096; // the guest driver hands out one page at a time

    private readonly int _port;
    private readonly PortWriter _writer;
    private readonly FrameSource _source = new();
    private readonly RequestAssembler _requests = new();
    private readonly Dictionary<uint, BulkStream> _streams = [];
    private readonly LoopMailbox _mailbox;
    private readonly GuestState _state;
    private bool _portReady;
    private bool _mustFlush;
    private long _holdUntil;
    private ulong _epoch;
    private int _dropped;

    /// <summary>Prepares the loop. It runs nothing yet.</summary>
    /// <param name="port">The port, nonblocking.</param>
    /// <param name="state">What the loop shares with the control port.</param>
    /// <param name="commands">Users, cgroups and environment of commands.</param>
    internal BulkLoop(int port, GuestState state, CommandTable commands)
    {
        _port = port;
        _state = state;
        Commands = commands;
        _writer = new PortWriter(port);
        Out = new FrameBuffer(_writer);
        _mailbox = new LoopMailbox();
        Events.Add(_mailbox.Fd, Linux.EPOLLIN, EventKind.Mailbox);
        Events.Add(port, Linux.EPOLLIN | Linux.EPOLLOUT | Linux.EPOLLHUP | Linux.EPOLLET, EventKind.Port);
        Parking = new ParkingPlace(port, _writer, _source, Out);
        Events.Add(Parking.Fd, Linux.EPOLLIN, EventKind.Parking);
        Files = new FileOperations(this, _writer);
        commands.Attach(this);
    }

    /// <summary>Frames on their way out.</summary>
    internal FrameBuffer Out { get; }

    /// <summary>The event sources.</summary>
    internal EventPoll Events { get; } = new();

    /// <summary>The running commands.</summary>
    internal CommandTable Commands { get; }

    /// <summary>File operations.</summary>
    internal FileOperations Files { get; }

    /// <summary>Where the loop stands still for snapshots.</summary>
    internal ParkingPlace Parking { get; }

    /// <summary>Whether the streams that are being dropped were those of a guest that stood still: its managed processes go on without.</summary>
    internal bool KeepsProcesses { get; private set; }

    /// <summary>Tag of the session; 0: none.</summary>
    internal uint SessionTag => _source.HasSession ? (uint)_epoch : 0;

    /// <summary>Streams that are open. Read by other threads.</summary>
    internal int OpenStreams => Volatile.Read(ref _openStreams);

    private int _openStreams;

    /// <summary>Runs something on the loop's thread. Thread-safe.</summary>
    internal void Post(Action action) => _mailbox.Post(action);

    /// <summary>Runs until <paramref name="stop"/> says so, in the product never.</summary>
    internal void Run(Func<bool> stop)
    {
        while (!stop())
        {
            try
            {
                Turn();
            }
            catch (Exception exception)
            {
                // A defect in one turn must not take PID 1 down; the session cannot be trusted any more.
                KernelConsole.WriteLine($"opensandbox-agent: bulk loop: {exception}");
                LoseSession();
                _writer.Spoil();
            }
        }
    }

    /// <summary>Closes everything that the loop opened, and its port. For a loop that has stopped.</summary>
    internal void Close()
    {
        Files.Close();
        Commands.Close();
        Parking.Close();
        _mailbox.Close();
        Events.Close();
        _ = Libc.Close(_port);
    }

    /// <summary>Says that frames wait which should leave before the loop waits.</summary>
    internal void NoteOutput() => _mustFlush = true;

    /// <summary>Says that a Started frame waits, which may be held back a moment for what follows it.</summary>
    internal void NoteStarted() => _holdUntil = ClockTicks.Milliseconds + HoldStartedMilliseconds;

    /// <summary>Closes a stream with its result.</summary>
    internal void Finish<T>(BulkStream stream, T result, JsonTypeInfo<T> shape)
    {
        if (stream.TryClose())
        {
            Forget(stream);
            Out.AddJson(FrameType.Result, stream.Id, result, shape);
            NoteOutput();
        }
    }

    /// <summary>Closes a stream with an error.</summary>
    internal void Fail(BulkStream stream, AgentError error)
    {
        if (stream.TryClose())
        {
            Forget(stream);
            SendError(stream.Id, error);
        }
    }

    /// <summary>Drops a closed stream from the table.</summary>
    internal void Forget(BulkStream stream)
    {
        if (_streams.TryGetValue(stream.Id, out BulkStream? current) && current == stream)
        {
            _streams.Remove(stream.Id);
        }
    }

    /// <summary>Counts a stream that was closed. Thread-safe.</summary>
    internal void CountClosed() => Interlocked.Decrement(ref _openStreams);

    private void SendError(uint streamId, AgentError error)
    {
        Out.AddJson(FrameType.Error, streamId, error, ProtocolJsonContext.Default.AgentError);
        NoteOutput();
    }

    private void Turn()
    {
        if (Parking.IsWanted)
        {
            StandStill();
        }

        int timeout = _portReady && MayRead ? 0 : Commands.MillisecondsToNextDeadline();
        if (!Out.IsEmpty)
        {
            long hold = _mustFlush ? 0 : _holdUntil - ClockTicks.Milliseconds;
            if (hold <= 0)
            {
                FlushOutput();
            }
            else
            {
                timeout = timeout < 0 ? (int)hold : (int)Math.Min(timeout, hold);
            }
        }

        if (Events.Wait(timeout))
        {
            foreach (EpollEvent happened in Events.Batch)
            {
                Dispatch(happened.Events, EventPoll.KindOf(happened.Tag), EventPoll.KeyOf(happened.Tag));
            }
        }

        if (_portReady && MayRead)
        {
            ReadPort();
        }

        Commands.CheckDeadlines();
        if (_mustFlush)
        {
            FlushOutput();
        }

        Commands.DoIdleWork();
    }

    /// <summary>Hands everything that waits to the port.</summary>
    internal void FlushOutput()
    {
        Out.Flush();
        _mustFlush = false;
    }

    private void Dispatch(uint events, EventKind kind, uint key)
    {
        switch (kind)
        {
            case EventKind.Port:
                _portReady |= (events & Linux.EPOLLIN) != 0;
                if (!_writer.IsDrained && (events & Linux.EPOLLOUT) != 0 && _writer.FlushPending())
                {
                    Commands.ResumeOutput();
                }

                break;
            case EventKind.Mailbox:
                _mailbox.RunAll();
                break;
            case EventKind.Parking:
                Parking.Drain();
                break;
            case EventKind.Watch:
                if (_streams.TryGetValue(key, out BulkStream? watch))
                {
                    (watch as WatchStream)?.OnReadable();
                }

                break;
            default:
                Commands.Dispatch(events, kind, key);
                break;
        }
    }

    /// <summary>Whether the port may be read: not while the host does not take what was written, nor before the resume is decided.</summary>
    private bool MayRead => _writer.IsDrained && (!_source.HasSession || _state.DecisionFor(_epoch) != ResumeDecision.Pending);

    /// <summary>Whether command output may be produced.</summary>
    internal bool MayWrite => _writer.IsDrained;

    private void ReadPort()
    {
        for (int i = 0; i < MaxReadsPerTurn && MayRead; i++)
        {
            Span<byte> room = _source.Room;
            nint count = Libc.Read(_port, room, (nuint)room.Length);
            if (count <= 0)
            {
                // EAGAIN: read empty. 0: the host is gone; its return is an event.
                _portReady = count < 0 && Marshal.GetLastPInvokeError() == Errno.EINTR;
                return;
            }

            _source.Advance((int)count);
            TakeFrames();
            if (_mustFlush && count < PortBufferSize)
            {
                FlushOutput(); // most likely that was all: the answer leaves before the read that finds nothing
            }
        }
    }

    private void TakeFrames()
    {
        while (MayRead)
        {
            switch (_source.Next(out FrameHeader header, out ReadOnlySpan<byte> payload, out Preamble preamble))
            {
                case FrameSourceStatus.Frame:
                    OnFrame(header, payload);
                    break;
                case FrameSourceStatus.Preamble:
                    BeginSession(preamble);
                    break;
                case FrameSourceStatus.Broken:
                    LoseSession();
                    break;
                default:
                    return;
            }
        }
    }

    private void BeginSession(Preamble preamble)
    {
        DropStreams();
        _epoch = preamble.Epoch;
        _writer.BeginSession(preamble.SessionTag);
        Out.BeginSession(preamble.SessionTag);
        Span<byte> answer = stackalloc byte[ProtocolConstants.PreambleSize];
        new Preamble(preamble.Epoch, ProtocolConstants.Generation).Write(answer);
        _writer.Write(preamble.SessionTag, answer);
    }

    /// <summary>Stands still for a snapshot. If a new session has begun meanwhile, the old one's streams end now that there are disks again.</summary>
    private void StandStill()
    {
        _mustFlush = false;
        if (Parking.Stay() is not { } epoch)
        {
            if (_writer.IsDrained)
            {
                Commands.ResumeOutput(); // the port may have been full before, and its event finds it drained already
            }

            return;
        }

        _epoch = epoch;
        _portReady = true; // what came meanwhile was not this epoll's to report
        KeepsProcesses = true;
        try
        {
            DropStreams();
        }
        finally
        {
            KeepsProcesses = false;
        }
    }

    private void LoseSession(ulong? expected = null)
    {
        _source.Reset(expected);
        _writer.BeginSession(0);
        Out.BeginSession(0);
        _mustFlush = false;
        DropStreams();
    }

    private void DropStreams()
    {
        BulkStream[] lost = [.. _streams.Values];
        _streams.Clear();
        _requests.Clear();
        foreach (BulkStream stream in lost)
        {
            _ = stream.TryClose();
            stream.OnSessionLost();
        }
    }

    /// <summary>The control port has begun a session: any other one is over on this port, too.</summary>
    internal void OnControlSession()
    {
        ulong epoch = _state.Epoch;
        if (!_source.HasSession || _epoch != epoch)
        {
            LoseSession(epoch);
            TakeFrames();
        }
    }

    /// <summary>The resume of a session has been decided: what came meanwhile is looked at now.</summary>
    internal void OnResumeDecided() => TakeFrames();
}
