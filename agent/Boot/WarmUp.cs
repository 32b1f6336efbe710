using System.Text;
using System.Text.Json;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Runs every hot path once at boot, against a host of its own on socket pairs: what the runtime and the kernel initialise on first use is
/// then part of the golden snapshot instead of the first command of every sandbox.
/// </summary>
internal sealed class WarmUp
{
    private const int Rounds = 3;
    private const ulong Epoch = 0x5741_524D_5550_0001;
    private const uint Tag = 0x5550_0001; // low half of the epoch
    private const int DeadlineMilliseconds = 20_000;
    private const string Folder = "/tmp/.opensandbox-warm-up";

    private readonly SandboxCgroup _cgroups;
    private readonly byte[] _received = new byte[64 * 1024];
    private readonly long _deadline = ClockTicks.Milliseconds + DeadlineMilliseconds;
    private uint _streamId;

    private WarmUp(SandboxCgroup cgroups) => _cgroups = cgroups;

    /// <summary>Runs it. Whatever fails is logged: the paths report their own errors when they are used.</summary>
    internal static void Run(SandboxCgroup cgroups, AgentWorker resumeThread, AgentWorker mountThread)
    {
        try
        {
            var warmUp = new WarmUp(cgroups);
            warmUp.Bulk();
            warmUp.Control(resumeThread, mountThread);
        }
        catch (GuestException exception)
        {
            KernelConsole.WriteLine("opensandbox-agent: warm-up: " + exception.Message);
        }
    }

    private void Bulk()
    {
        (int host, int port) = Pair();
        var state = new GuestState();
        state.BeginSession(Epoch);
        state.Decide(Epoch, resumed: true);
        var loop = new BulkLoop(port, state, new CommandTable(_cgroups));
        loop.Files.Mounts.Open();
        Send(host, Preamble());
        for (int i = 0; i < Rounds; i++)
        {
            Request(host, loop, new OpenRequest { Op = Operations.MakeDirectory, File = new FileRequest { Path = Folder + "/a", Recursive = true } });
            Request(host, loop, new OpenRequest { Op = Operations.Write, File = new FileRequest { Path = Folder + "/f", Mode = 0x1ED } }, "#!/none\n"u8);
            Request(host, loop, new OpenRequest { Op = Operations.Read, File = new FileRequest { Path = Folder + "/f" } });
            Request(host, loop, new OpenRequest { Op = Operations.Read, File = new FileRequest { Path = "/proc/version" } });
            Request(host, loop, new OpenRequest { Op = Operations.Stat, File = new FileRequest { Path = Folder + "/none" } });
            Request(host, loop, new OpenRequest { Op = Operations.List, File = new FileRequest { Path = Folder, Depth = 2 } });
            Request(host, loop, new OpenRequest { Op = Operations.Source, Length = 1 });
            Request(host, loop, new OpenRequest { Op = Operations.Limits, Limits = new LimitsRequest { PluggedMemoryBytes = 0 } });
            Request(host, loop, new OpenRequest { Op = Operations.Exec, Exec = new ExecRequest { Argv = ["true"] } });
            var full = new ExecRequest
            {
                Argv = ["/bin/true", "x"],
                StandardInput = true,
                TimeoutMilliseconds = 10_000,
                WorkingDirectory = "/",
                User = "0:0",
                Environment = new Dictionary<string, string>(StringComparer.Ordinal) { ["WARM"] = "up" },
            };
            Request(host, loop, new OpenRequest { Op = Operations.Exec, Exec = full }, "x"u8);
            Request(host, loop, new OpenRequest { Op = Operations.Exec, Exec = new ExecRequest { Argv = [Folder + "/f"] } });
            var managed = new ProcessStartRequest { Command = new ExecRequest { Argv = ["true"] }, Lossless = true };
            Request(host, loop, new OpenRequest { Op = Operations.Start, Start = managed });
            Request(host, loop, new OpenRequest { Op = Operations.Start, Start = managed with { Terminal = new TerminalRequest { Columns = 80, Rows = 24 } } });
            Request(host, loop, new OpenRequest { Op = Operations.Processes });
            Request(host, loop, new OpenRequest { Op = Operations.Usage });
            Request(host, loop, new OpenRequest { Op = Operations.Remove, File = new FileRequest { Path = Folder, Recursive = true } });
        }

        loop.Close();
        _ = Libc.Close(host);
    }

    private void Control(AgentWorker resumeThread, AgentWorker mountThread)
    {
        (int host, int port) = Pair();
        var state = new GuestState();
        (int bulkHost, int bulkPort) = Pair();
        var bulk = new BulkLoop(bulkPort, state, new CommandTable(_cgroups));
        var disks = new DiskFreezer();
        var standStill = new StandStill(_cgroups, disks, [bulk.Parking]);
        var loop = new ControlLoop(port, state, bulk, null, new Resumer(_cgroups, mountThread, disks, standStill), standStill, resumeThread);
        byte[] seed = new byte[64];
        _ = Libc.GetRandom(seed, (nuint)seed.Length, 0);
        var resume = new ResumeRequest
        {
            WallClockNanoseconds = (TimeProvider.System.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks * 100,
            EntropySeed = seed,
            Hostname = "localhost",
            Environment = new Dictionary<string, string>(StringComparer.Ordinal) { ["WARM"] = "up" },
            Limits = new GuestLimits(),
        };
        var frames = new List<byte>(Preamble());
        Add(frames, FrameType.Welcome, 0, JsonSerializer.SerializeToUtf8Bytes(
            new HostWelcome { Generation = ProtocolConstants.Generation }, ProtocolJsonContext.Default.HostWelcome));
        Add(frames, FrameType.Ping, 0, "warm"u8);
        Add(frames, FrameType.Open, 1, JsonSerializer.SerializeToUtf8Bytes(
            new OpenRequest { Op = Operations.Resume, Resume = resume }, ProtocolJsonContext.Default.OpenRequest));
        Send(host, frames.ToArray());
        loop.Run(() => Answered(host, 1));
        using var ran = new ManualResetEventSlim();
        resumeThread.Post(() => mountThread.Post(ran.Set));
        _ = ran.Wait(DeadlineMilliseconds);
        loop.Close();
        bulk.Close();
        _ = Libc.Close(host);
        _ = Libc.Close(bulkHost);
    }

    private void Request(int host, BulkLoop loop, OpenRequest request, ReadOnlySpan<byte> content = default)
    {
        uint id = ++_streamId;
        var frames = new List<byte>();
        Add(frames, FrameType.Open, id, JsonSerializer.SerializeToUtf8Bytes(request, ProtocolJsonContext.Default.OpenRequest));
        if (!content.IsEmpty)
        {
            Add(frames, FrameType.Data, id, content);
            Add(frames, FrameType.End, id, default);
        }

        Send(host, frames.ToArray());
        loop.Run(() => Answered(host, id));
    }

    /// <summary>Whether the stream's answer has arrived. Reads what is there.</summary>
    private bool Answered(int host, uint id)
    {
        nint count = Libc.Read(host, _received, (nuint)_received.Length);
        ReadOnlySpan<byte> bytes = _received.AsSpan(0, (int)Math.Max(0, count));
        if (bytes.StartsWith(ProtocolConstants.Magic))
        {
            bytes = bytes[ProtocolConstants.PreambleSize..];
        }

        // The agent writes whole frames, and so few that a socket pair delivers each write in one piece.
        while (FrameHeader.TryRead(bytes, Tag, out FrameHeader header) == FrameError.None && bytes.Length >= header.FrameSize)
        {
            if (header.StreamId == id && header.Type is FrameType.Result or FrameType.Error)
            {
                return true;
            }

            bytes = bytes[header.FrameSize..];
        }

        return ClockTicks.Milliseconds > _deadline;
    }

    private static byte[] Preamble()
    {
        byte[] bytes = new byte[ProtocolConstants.PreambleSize];
        new Preamble(Epoch, ProtocolConstants.Generation).Write(bytes);
        return bytes;
    }

    private static void Add(List<byte> frames, FrameType type, uint id, ReadOnlySpan<byte> payload)
    {
        byte[] frame = new byte[ProtocolConstants.HeaderSize + payload.Length + ProtocolConstants.TrailerSize];
        payload.CopyTo(frame.AsSpan(ProtocolConstants.HeaderSize));
        _ = FrameWriter.Seal(frame, type, 0, id, Tag, payload.Length);
        frames.AddRange(frame);
    }

    private static void Send(int host, byte[] bytes)
    {
        if (Libc.Write(host, bytes, (nuint)bytes.Length) != bytes.Length)
        {
            throw GuestException.LastError("socket pair");
        }
    }

    private static (int Host, int Port) Pair()
    {
        Span<int> ends = stackalloc int[2];
        _ = GuestException.Check(
            Libc.SocketPair(Linux.AF_UNIX, Linux.SOCK_STREAM | Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK, 0, ends), "socketpair");
        return (ends[0], ends[1]);
    }
}
