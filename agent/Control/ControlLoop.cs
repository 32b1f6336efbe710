using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// The control port's thread: ping, resume, quiesce. Reads block, which answers a ping with two system calls; only while no host is
/// connected (reads return 0 at once) does it wait by epoll, edge-triggered, for one to come.
/// </summary>
internal sealed partial class ControlLoop
{
    private const string Version = "0.1.0";

    private readonly int _port;
    private readonly int _epoll;
    private readonly EpollEvent[] _event = new EpollEvent[1];
    private readonly GuestState _state;
    private readonly BulkLoop _bulk;
    private readonly NetworkLoop? _network;
    private readonly Resumer _resumer;
    private readonly StandStill _standStill;
    private readonly FrameSource _source = new();
    private readonly RequestAssembler _requests = new();
    private readonly PortWriter _writer;
    private readonly FrameBuffer _out;
    private readonly string _kernel;
    private readonly AgentWorker _resumeThread;
    private Preamble _session;
    private ulong _resumed; // epoch of the session that has been resumed last

    /// <summary>Prepares the loop.</summary>
    /// <param name="port">The port, blocking.</param>
    /// <param name="state">What the loop shares with the bulk port.</param>
    /// <param name="bulk">The bulk port's loop.</param>
    /// <param name="network">The network port's loop; none while warming up.</param>
    /// <param name="resumer">Does what a resume asks for.</param>
    /// <param name="standStill">Brings the guest to a stand for snapshots.</param>
    /// <param name="resumeThread">Where it does so, when that takes time.</param>
    internal ControlLoop(
        int port, GuestState state, BulkLoop bulk, NetworkLoop? network, Resumer resumer, StandStill standStill, AgentWorker resumeThread)
    {
        _port = port;
        _state = state;
        _bulk = bulk;
        _network = network;
        _resumer = resumer;
        _standStill = standStill;
        _resumeThread = resumeThread;
        _writer = new PortWriter(port);
        _out = new FrameBuffer(_writer);
        _kernel = KernelRelease();
        _epoll = GuestException.Check(Libc.EpollCreate1(Linux.EPOLL_CLOEXEC), "epoll_create1");
        var change = new EpollEvent { Events = Linux.EPOLLIN | Linux.EPOLLHUP | Linux.EPOLLET };
        _ = GuestException.Check(Libc.EpollCtl(_epoll, Linux.EPOLL_CTL_ADD, port, ref change), "epoll_ctl add");
    }

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
                KernelConsole.WriteLine($"opensandbox-agent: control loop: {exception}");
                LoseSession();
            }
        }
    }

    /// <summary>Closes everything that the loop opened, and its port. For a loop that has stopped.</summary>
    internal void Close()
    {
        _resumer.Close();
        _ = Libc.Close(_epoll);
        _ = Libc.Close(_port);
    }

    private void Turn()
    {
        Span<byte> room = _source.Room;
        nint count = Libc.Read(_port, room, (nuint)room.Length);
        if (count > 0)
        {
            _source.Advance((int)count);
            TakeFrames();
            _out.Flush();
        }
        else if (count == 0 || Marshal.GetLastPInvokeError() != Errno.EINTR)
        {
            _ = Libc.EpollWait(_epoll, _event, 1, -1);
        }
    }

    private void TakeFrames()
    {
        while (true)
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
        _session = preamble;
        _requests.Clear();
        _state.BeginSession(preamble.Epoch);
        bool quiesced = _standStill.BeginSession(preamble.Epoch); // which tells the loops, where they stand still
        _writer.BeginSession(preamble.SessionTag);
        _out.BeginSession(preamble.SessionTag);
        Span<byte> answer = _out.Reserve(ProtocolConstants.PreambleSize);
        new Preamble(preamble.Epoch, ProtocolConstants.Generation).Write(answer);
        var hello = new AgentHello
        {
            Generation = ProtocolConstants.Generation,
            AgentVersion = Version,
            KernelRelease = _kernel,
            Resumed = _state.EverResumed,
            Quiesced = quiesced,
        };
        _out.AddJson(FrameType.Hello, 0, hello, ProtocolJsonContext.Default.AgentHello);
        _out.Flush();
        _bulk.Post(_bulk.OnControlSession);
        _network?.Post(_network.OnControlSession);
    }

    private void LoseSession()
    {
        _source.Reset();
        _requests.Clear();
        _writer.BeginSession(0);
        _out.BeginSession(0);
    }

    private void OnFrame(in FrameHeader header, ReadOnlySpan<byte> payload)
    {
        switch (header.Type)
        {
            case FrameType.Ping:
                _out.Add(FrameType.Pong, 0, 0, payload);
                break;
            case FrameType.Welcome:
                OnWelcome(payload);
                break;
            case FrameType.Open:
                OnOpen(header, payload);
                break;
            case FrameType.Quiesce:
                OnQuiesce(payload);
                break;
            case FrameType.Thaw:
                OnThaw(payload);
                break;
            case FrameType.Data or FrameType.Credit or FrameType.End or FrameType.Cancel or FrameType.Signal:
                break; // of a stream that has just ended: nothing on this port can be stopped half-way
            default:
                LoseSession(); // a frame that only the agent sends
                break;
        }
    }

    private void OnWelcome(ReadOnlySpan<byte> payload)
    {
        HostWelcome? welcome = null;
        try
        {
            welcome = JsonSerializer.Deserialize(payload, ProtocolJsonContext.Default.HostWelcome);
        }
        catch (JsonException exception)
        {
            KernelConsole.WriteLine("opensandbox-agent: control: Welcome: " + exception.Message);
        }

        if (welcome is not { Generation: >= 1 and <= ProtocolConstants.Generation })
        {
            LoseSession();
        }
    }

    private void OnOpen(in FrameHeader header, ReadOnlySpan<byte> payload)
    {
        long arrived = ClockTicks.Microseconds;
        try
        {
            if (_requests.Add(header, payload) is not { } request)
            {
                return;
            }

            if (request.Op != Operations.Resume || request.Resume is null)
            {
                GuestException.ThrowInvalid($"no operation '{request.Op}' with these parameters on the control port");
            }

            StartResume(header.StreamId, request.Resume, arrived);
        }
        catch (Exception exception)
        {
            // Whatever one request does wrong, or meets with, is that request's answer.
            _out.AddJson(FrameType.Error, header.StreamId, AgentErrors.From(exception), ProtocolJsonContext.Default.AgentError);
        }
    }

    private void StartResume(uint streamId, ResumeRequest request, long arrived)
    {
        ulong epoch = _session.Epoch;
        if (_state.DecisionFor(epoch) == ResumeDecision.Resumed)
        {
            GuestException.ThrowInvalid("this session has been resumed already");
        }

        if (_resumer.IsBrief(request))
        {
            Resume(_out, streamId, request, epoch, arrived);
            return;
        }

        // Mounts and memory take their time: pings are answered meanwhile.
        var own = new FrameBuffer(_writer);
        own.BeginSession(_session.SessionTag);
        _resumeThread.Post(() => Resume(own, streamId, request, epoch, arrived));
    }

    private void Resume(FrameBuffer target, uint streamId, ResumeRequest request, ulong epoch, long arrived)
    {
        bool done = false;
        bool isFirst = !_state.EverResumed;
        try
        {
            ResumeResult result = _resumer.Run(request, arrived);
            done = true;
            _state.Identity = (request.Description, ClockTicks.Milliseconds);
            target.AddJson(FrameType.Result, streamId, result, ProtocolJsonContext.Default.ResumeResult);
        }
        catch (Exception exception)
        {
            // The sandbox is refused as a whole: the host hears why, and every request on the bulk port fails.
            target.AddJson(FrameType.Error, streamId, AgentErrors.From(exception), ProtocolJsonContext.Default.AgentError);
        }

        Dictionary<string, string>? environment = done ? request.Environment ?? [] : null;
        _bulk.Post(() =>
        {
            // Decided only when everything is in place that the first command needs: it may be waiting in the port.
            if (environment is not null)
            {
                _bulk.Commands.Environment = environment;
                if (isFirst)
                {
                    _bulk.Files.Mounts.Open();
                }
                else if (request.Limits is { } limits)
                {
                    _bulk.Commands.Cgroups.Note(limits);
                }
            }

            _state.Decide(epoch, done);
            _bulk.OnResumeDecided();
            _network?.Post(_network.OnResumeDecided);
        });
        if (done)
        {
            _standStill.EndWithResume(epoch);
            Volatile.Write(ref _resumed, epoch); // what follows the result may rely on it
        }

        target.Flush();
    }

    private static string KernelRelease()
    {
        Span<byte> names = stackalloc byte[6 * 65];
        names.Clear();
        _ = GuestException.Check(Libc.UName(names), "uname");
        ReadOnlySpan<byte> release = names.Slice(2 * 65, 65);
        return Encoding.UTF8.GetString(release[..release.IndexOf((byte)0)]);
    }
}
