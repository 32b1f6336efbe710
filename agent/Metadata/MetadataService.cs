using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>
/// The metadata service: a small HTTP server on 127.0.0.1:61003, where the guest's firewall sends what goes to 169.254.169.254:80. Its
/// callers are the sandbox's own processes and not trusted: connections, their time and all sizes are bounded. One thread, one epoll.
/// </summary>
internal sealed class MetadataService
{
    private const ushort Port = GuestNetwork.MetadataPort;
    private const int MaxConnections = 32;
    private const int Backlog = 64;
    private const int ConnectionMilliseconds = 10_000;
    private const int ScaleMilliseconds = 240_000; // longer than a resize may take
    private const int SampleMilliseconds = 100;
    private const int BatchSize = 32;
    private const ulong ListenerTag = ulong.MaxValue;
    private const ulong MailboxTag = ulong.MaxValue - 1;

    private readonly int _listener;
    private readonly int _epoll = GuestException.Check(Libc.EpollCreate1(Linux.EPOLL_CLOEXEC), "epoll_create1");
    private readonly MetadataContent _content;
    private readonly LoopMailbox _mailbox = new();
    private readonly Dictionary<ulong, MetadataConnection> _connections = [];
    private ulong _nextKey;
    private ulong _scaling; // key of the connection whose request the host has, also when the connection is gone; 0: none
    private IHostRequests? _host;
    private bool _listening;

    private MetadataService(int listener, MetadataContent content)
    {
        _listener = listener;
        _content = content;
        Watch(Linux.EPOLL_CTL_ADD, _mailbox.Fd, Linux.EPOLLIN, MailboxTag);
    }

    /// <summary>Starts the service. If it cannot listen, the sandbox works without it, and the guest's log says so.</summary>
    /// <param name="state">Who the sandbox is.</param>
    /// <param name="cgroups">Its limits.</param>
    /// <param name="traffic">What went over its network.</param>
    /// <returns>The service, or <see langword="null"/>.</returns>
    internal static MetadataService? Start(GuestState state, SandboxCgroup cgroups, NetworkTraffic traffic)
    {
        try
        {
            var service = new MetadataService(Listen(), new MetadataContent(state, cgroups, traffic));
            AgentThread.Start("metadata", service.Run);
            return service;
        }
        catch (GuestException exception)
        {
            KernelConsole.WriteLine("opensandbox-agent: metadata service: " + exception.Message);
            return null;
        }
    }

    /// <summary>Connects the service with who can ask the host; until then scaling is not available. Thread-safe.</summary>
    internal void Attach(IHostRequests? host) => Volatile.Write(ref _host, host);

    private static int Listen()
    {
        int socket = GuestException.Check(
            Libc.Socket(Linux.AF_INET, Linux.SOCK_STREAM | Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK, 0), "socket");
        Span<byte> address = stackalloc byte[16]; // sockaddr_in: family, port (big-endian), address, padding
        address.Clear();
        address[0] = Linux.AF_INET;
        address[2] = Port >> 8;
        address[3] = Port & 0xFF;
        address[4] = 127;
        address[7] = 1;
        _ = Libc.SetSockOptInt(socket, Linux.SOL_SOCKET, Linux.SO_REUSEADDR, 1, sizeof(int));
        if (Libc.Bind(socket, address, (uint)address.Length) < 0 || Libc.Listen(socket, Backlog) < 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            _ = Libc.Close(socket);
            throw GuestException.System("listen on 127.0.0.1:61003", errno);
        }

        return socket;
    }

    private void Run()
    {
        var batch = new EpollEvent[BatchSize];
        while (true)
        {
            try
            {
                Turn(batch);
            }
            catch (Exception exception)
            {
                // A defect in one answer must not end the thread: every connection begins anew.
                KernelConsole.WriteLine($"opensandbox-agent: metadata service: {exception}");
                foreach (ulong key in _connections.Keys.ToArray())
                {
                    End(key);
                }
            }
        }
    }

    private void Turn(EpollEvent[] batch)
    {
        UpdateListening();
        int count = Libc.EpollWait(_epoll, batch, batch.Length, MillisecondsToNextDeadline());
        for (int i = 0; i < count; i++)
        {
            switch (batch[i].Tag)
            {
                case ListenerTag:
                    Accept();
                    break;
                case MailboxTag:
                    _mailbox.RunAll();
                    break;
                default:
                    Continue(batch[i].Tag);
                    break;
            }
        }

        CheckDeadlines();
    }

    /// <summary>With as many connections as there may be, more of them wait in the kernel.</summary>
    private void UpdateListening()
    {
        bool listening = _connections.Count < MaxConnections;
        if (listening != _listening)
        {
            Watch(listening ? Linux.EPOLL_CTL_ADD : Linux.EPOLL_CTL_DEL, _listener, Linux.EPOLLIN, ListenerTag);
            _listening = listening;
        }
    }

    private void Watch(int operation, int fd, uint events, ulong tag)
    {
        var change = new EpollEvent { Events = events, Tag = tag };
        _ = GuestException.Check(Libc.EpollCtl(_epoll, operation, fd, ref change), "epoll_ctl");
    }

    private int MillisecondsToNextDeadline()
    {
        long next = long.MaxValue;
        foreach (MetadataConnection connection in _connections.Values)
        {
            next = Math.Min(next, connection.SampleEnd > 0 ? Math.Min(connection.SampleEnd, connection.Deadline) : connection.Deadline);
        }

        return next == long.MaxValue ? -1 : (int)Math.Clamp(next - ClockTicks.Milliseconds + 1, 0, int.MaxValue);
    }

    private void CheckDeadlines()
    {
        long now = ClockTicks.Milliseconds;
        foreach ((ulong key, MetadataConnection connection) in _connections.ToArray())
        {
            if (connection.Deadline <= now)
            {
                End(key);
            }
            else if (connection.SampleEnd > 0 && connection.SampleEnd <= now)
            {
                connection.SampleEnd = 0;
                Answer(key, connection, _content.Limits(connection.Sample));
            }
        }
    }

    private void Accept()
    {
        int fd = Libc.Accept4(_listener, 0, 0, Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK);
        if (fd < 0)
        {
            return; // gone again; or no descriptors left, which ends when connections do
        }

        ulong key = ++_nextKey;
        _connections.Add(key, new MetadataConnection(fd, ClockTicks.Milliseconds + ConnectionMilliseconds));
        Watch(Linux.EPOLL_CTL_ADD, fd, Linux.EPOLLIN | Linux.EPOLLHUP, key);
    }

    private void Continue(ulong key)
    {
        if (!_connections.TryGetValue(key, out MetadataConnection? connection))
        {
            return;
        }

        if (connection.Reply is not null)
        {
            Send(key, connection);
        }
        else if (connection.Request is not null)
        {
            End(key); // its other end has gone: nothing else is watched for while an answer is being prepared
        }
        else
        {
            Receive(key, connection);
        }
    }

    private void Receive(ulong key, MetadataConnection connection)
    {
        Span<byte> room = connection.Received.AsSpan(connection.ReceivedCount);
        nint count = room.IsEmpty ? 0 : Libc.Read(connection.Fd, room, (nuint)room.Length);
        if (count <= 0)
        {
            if (count == 0 || Marshal.GetLastPInvokeError() is not (Errno.EAGAIN or Errno.EINTR))
            {
                End(key); // closed by its other end, or says more than its request has
            }

            return;
        }

        connection.ReceivedCount += (int)count;
        ReadOnlySpan<byte> received = connection.Received.AsSpan(0, connection.ReceivedCount);
        bool? parsed = HttpRequest.TryParse(received, out HttpRequest request);
        if (parsed is null)
        {
            Answer(key, connection, HttpReply.Error(400, "bad request"));
        }
        else if (parsed.Value && received.Length >= request.HeadLength + request.BodyLength)
        {
            connection.Request = request;
            Serve(key, connection, request, received.Slice(request.HeadLength, request.BodyLength));
        }
    }

    private void Serve(ulong key, MetadataConnection connection, HttpRequest request, ReadOnlySpan<byte> body)
    {
        bool reads = request.Method is "GET" or "HEAD";
        HttpReply? reply;
        try
        {
            reply = request.Path switch
            {
                "/" when reads => MetadataContent.Index(),
                "/v1/status" when reads => _content.Status(),
                "/v1/metadata" when reads => _content.Metadata(),
                "/v1/limits" when reads => BeginSample(connection),
                "/v1/scale" when request.Method == "POST" => Scale(key, connection, body),
                "/" or "/v1/status" or "/v1/metadata" or "/v1/limits" or "/v1/scale" => HttpReply.Error(405, "method not allowed"),
                _ => HttpReply.Error(404, "not found"),
            };
        }
        catch (Exception exception)
        {
            // Whatever one request meets with is its answer.
            KernelConsole.WriteLine($"opensandbox-agent: metadata service: {request.Path}: {exception.Message}");
            reply = HttpReply.Error(500, "internal error");
        }

        if (reply is not null)
        {
            Answer(key, connection, reply);
        }
        else
        {
            Watch(Linux.EPOLL_CTL_MOD, connection.Fd, 0, key);
        }
    }

    private HttpReply? BeginSample(MetadataConnection connection)
    {
        connection.Sample = _content.SampleCpu();
        connection.SampleEnd = ClockTicks.Milliseconds + SampleMilliseconds;
        return null;
    }

    private HttpReply? Scale(ulong key, MetadataConnection connection, ReadOnlySpan<byte> body)
    {
        if (!MetadataContent.TryParseScale(body, out long memory, out long? cpu))
        {
            return HttpReply.Error(400, "expected {\"memoryMB\": number, \"cpuPercent\": number}, the second optional");
        }

        if (_scaling != 0)
        {
            return HttpReply.Error(409, "another request is being carried out");
        }

        if (Volatile.Read(ref _host) is not { } host
            || !host.RequestScale(memory, cpu, answer => _mailbox.Post(() => OnScaled(key, answer))))
        {
            return HttpReply.Error(503, "scaling from inside is not available");
        }

        _scaling = key;
        connection.Deadline = ClockTicks.Milliseconds + ScaleMilliseconds;
        return null;
    }

    private void OnScaled(ulong key, ScaleAnswer answer)
    {
        _scaling = _scaling == key ? 0 : _scaling;
        if (_connections.TryGetValue(key, out MetadataConnection? connection))
        {
            Answer(key, connection, MetadataContent.Scaled(answer));
        }
    }

    private void Answer(ulong key, MetadataConnection connection, HttpReply reply)
    {
        connection.Reply = reply.ToBytes(connection.Request?.Method != "HEAD");
        Send(key, connection);
    }

    private void Send(ulong key, MetadataConnection connection)
    {
        byte[] reply = connection.Reply!;
        while (connection.Sent < reply.Length)
        {
            ReadOnlySpan<byte> rest = reply.AsSpan(connection.Sent);
            nint count = Libc.Send(connection.Fd, rest, (nuint)rest.Length, Linux.MSG_NOSIGNAL);
            if (count < 0)
            {
                int errno = Marshal.GetLastPInvokeError();
                if (errno == Errno.EAGAIN)
                {
                    Watch(Linux.EPOLL_CTL_MOD, connection.Fd, Linux.EPOLLOUT, key);
                    return;
                }

                if (errno != Errno.EINTR)
                {
                    break;
                }
            }
            else
            {
                connection.Sent += (int)count;
            }
        }

        End(key);
    }

    private void End(ulong key)
    {
        if (_connections.Remove(key, out MetadataConnection? connection))
        {
            _ = Libc.Close(connection.Fd);
        }
    }
}
