using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// The network port's thread: connections of the guest's programs that the kernel redirects here, their DNS queries, and connections of the
/// host to ports of the guest. One epoll; all state belongs to this thread, so there are no locks.
/// </summary>
internal sealed partial class NetworkLoop : IHostRequests
{
    private const int MaxReadsPerTurn = 64;
    private const int MaxTunnelReadsPerTurn = 64;
    private const int PortBufferSize = 4096; // the guest driver hands out one page at a time

    /// <summary>
    /// The first session is begun so long after its preamble has come, unless a connection or a query needs it before: a sandbox that has
    /// just been restored has more urgent work for its CPUs (row P1).
    /// </summary>
    private const int FirstSessionMilliseconds = 150;

    private readonly int _port;
    private readonly PortWriter _writer;
    private readonly FrameSource _source = new();
    private readonly LoopMailbox _mailbox = new();
    private readonly GuestState _state;
    private readonly Dictionary<uint, NetworkStream> _streams = [];
    private readonly Queue<Tunnel> _readable = new();
    private uint _nextId = ProtocolConstants.FirstAgentStreamId;
    private int _ours;
    private long _beginAt;
    private bool _portReady;
    private bool _mustFlush;
    private ulong _epoch;

    /// <summary>Prepares the loop and its listeners. It runs nothing yet.</summary>
    /// <param name="port">The port, nonblocking.</param>
    /// <param name="state">What the loop shares with the control port.</param>
    internal NetworkLoop(int port, GuestState state)
    {
        _port = port;
        _state = state;
        _writer = new PortWriter(port);
        Out = new FrameBuffer(_writer);
        Events.Add(_mailbox.Fd, Linux.EPOLLIN, EventKind.Mailbox);
        Events.Add(port, Linux.EPOLLIN | Linux.EPOLLOUT | Linux.EPOLLHUP | Linux.EPOLLET, EventKind.Port);
        Parking = new ParkingPlace(port, _writer, _source, Out);
        Events.Add(Parking.Fd, Linux.EPOLLIN, EventKind.Parking);
        Listen();
    }

    /// <summary>What connections have carried.</summary>
    internal NetworkTraffic Traffic { get; } = new();

    /// <summary>Where the loop stands still for snapshots.</summary>
    internal ParkingPlace Parking { get; }

    /// <summary>Frames on their way out.</summary>
    internal FrameBuffer Out { get; }

    /// <summary>The event sources.</summary>
    internal EventPoll Events { get; } = new();

    /// <summary>Streams that are open. Read by other threads.</summary>
    internal int OpenStreams => Volatile.Read(ref _openStreams);

    private int _openStreams;

    /// <summary>Whether the session has been resumed, so that requests can be sent.</summary>
    private bool IsUp => _source.HasSession && _state.DecisionFor(_epoch) == ResumeDecision.Resumed;

    /// <summary>Whether the port may be read: not while the host does not take what was written, nor before the resume is decided.</summary>
    private bool MayRead => _writer.IsDrained
        && (_source.HasSession ? _state.DecisionFor(_epoch) != ResumeDecision.Pending : _beginAt <= ClockTicks.Milliseconds);

    /// <summary>Runs something on the loop's thread. Thread-safe.</summary>
    internal void Post(Action action) => _mailbox.Post(action);

    /// <summary>Runs for ever.</summary>
    internal void Run()
    {
        while (true)
        {
            try
            {
                Turn();
            }
            catch (Exception exception)
            {
                // A defect in one turn must not take PID 1 down; the session cannot be trusted any more.
                KernelConsole.WriteLine($"opensandbox-agent: network loop: {exception}");
                LoseSession();
                _writer.Spoil();
            }
        }
    }

    /// <summary>Says that frames wait which should leave before the loop waits.</summary>
    internal void NoteOutput() => _mustFlush = true;

    /// <summary>Puts a tunnel in the queue of those that are read in turn.</summary>
    internal void Schedule(Tunnel tunnel)
    {
        if (!tunnel.IsScheduled)
        {
            tunnel.IsScheduled = true;
            _readable.Enqueue(tunnel);
        }
    }

    /// <summary>Asks the host something.</summary>
    /// <param name="request">The request.</param>
    /// <param name="answered">Told the answer or the error, on the loop's thread; neither when there is no host to ask.</param>
    internal void Ask(OpenRequest request, Action<HostReply?, AgentError?> answered)
    {
        BeginSessionNow();
        if (!IsUp || _ours >= ProtocolConstants.MaxAgentStreams)
        {
            Post(() => answered(null, null)); // later: who asks again at once would nest without end
            return;
        }

        uint id = Open(request);
        Add(new HostQuestion(this, id, answered));
    }

    /// <summary>Closes a stream of the host's with its result.</summary>
    internal void Finish(NetworkStream stream, FileResult result)
    {
        if (Forget(stream))
        {
            Out.AddJson(FrameType.Result, stream.Id, result, ProtocolJsonContext.Default.FileResult);
            NoteOutput();
        }
    }

    /// <summary>Closes a stream of the host's with an error; one of the agent's is given up.</summary>
    internal void Fail(NetworkStream stream, AgentError error)
    {
        if (stream.IsOurs)
        {
            Abandon(stream);
        }
        else if (Forget(stream))
        {
            SendError(stream.Id, error);
        }
    }

    /// <summary>Gives a stream of the agent's up: the host's answer is still to come.</summary>
    internal void Abandon(NetworkStream stream)
    {
        if (!stream.IsCancelled)
        {
            stream.IsCancelled = true;
            Out.Add(FrameType.Cancel, 0, stream.Id, default);
            NoteOutput();
        }
    }

    /// <summary>Ends a stream of the agent's that the host has answered.</summary>
    internal void Close(NetworkStream stream)
    {
        if (Forget(stream))
        {
            Abandon(stream);
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

    private void Turn()
    {
        if (Parking.IsWanted)
        {
            StandStill();
        }

        bool busy = (_portReady && MayRead) || (_readable.Count > 0 && _writer.IsDrained);
        if (Events.Wait(busy ? 0 : NextDeadline()))
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

        ReadTunnels();
        CloseIdleDns();
        if (_mustFlush)
        {
            _mustFlush = false;
            Out.Flush();
        }
    }

    private void Dispatch(uint events, EventKind kind, uint key)
    {
        switch (kind)
        {
            case EventKind.Port:
                if ((events & Linux.EPOLLIN) != 0)
                {
                    _portReady = true;
                    _beginAt = _beginAt == 0 ? ClockTicks.Milliseconds + FirstSessionMilliseconds : _beginAt;
                }

                if (!_writer.IsDrained && (events & Linux.EPOLLOUT) != 0)
                {
                    _ = _writer.FlushPending();
                }

                break;
            case EventKind.Mailbox:
                _mailbox.RunAll();
                break;
            case EventKind.Parking:
                Parking.Drain();
                break;
            case EventKind.Tunnel:
                if (_streams.TryGetValue(key, out NetworkStream? stream) && stream is Tunnel tunnel)
                {
                    tunnel.OnEvent(events);
                }

                break;
            case EventKind.Listener:
                Accept((int)key);
                break;
            case EventKind.DnsSocket:
                ReadQueries((int)key);
                break;
            case EventKind.DnsConnection:
                OnDnsConnection(key);
                break;
        }
    }

    /// <summary>Reads the tunnels that have bytes, each once per round, so that a fast one does not hold the others up.</summary>
    private void ReadTunnels()
    {
        for (int i = 0; i < MaxTunnelReadsPerTurn && _writer.IsDrained && _readable.TryDequeue(out Tunnel? tunnel); i++)
        {
            tunnel.IsScheduled = false;
            if (tunnel.ReadOnce())
            {
                Schedule(tunnel);
            }
        }
    }

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
                _mustFlush = false;
                Out.Flush();
            }
        }
    }

    /// <summary>Somebody needs the session: it is not waited for any longer.</summary>
    private void BeginSessionNow()
    {
        if (!_source.HasSession && _portReady)
        {
            _beginAt = 1;
            ReadPort();
        }
    }

    private void Add(NetworkStream stream)
    {
        _streams.Add(stream.Id, stream);
        Volatile.Write(ref _openStreams, _streams.Count);
        if (stream.IsOurs)
        {
            _ours++;
        }
    }

    private bool Forget(NetworkStream stream)
    {
        if (!_streams.TryGetValue(stream.Id, out NetworkStream? current) || current != stream)
        {
            return false;
        }

        _streams.Remove(stream.Id);
        Volatile.Write(ref _openStreams, _streams.Count);
        if (stream.IsOurs)
        {
            _ours--;
        }

        return true;
    }

    private uint Open(OpenRequest request)
    {
        uint id = _nextId++;
        if (_nextId == uint.MaxValue)
        {
            _nextId--; // two thousand million connections in one session: the host ends it at the next one
        }

        Out.AddJson(FrameType.Open, id, request, ProtocolJsonContext.Default.OpenRequest);
        NoteOutput();
        return id;
    }

    private void SendError(uint streamId, AgentError error)
    {
        Out.AddJson(FrameType.Error, streamId, error, ProtocolJsonContext.Default.AgentError);
        NoteOutput();
    }
}
