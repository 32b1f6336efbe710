using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// One TCP connection between the guest and the host: of a program in the guest that connects outwards (the agent has accepted it and asks
/// the host), or of the host to a port in the guest (the agent connects). Belongs to the network loop's thread.
/// </summary>
internal sealed class Tunnel : NetworkStream
{
    private const int SmallestRead = 4096;

    private readonly PendingBytes _pending = new();
    private readonly Queue<byte[]> _targets = new();
    private int _fd;
    private int _room = ProtocolConstants.CreditWindow;
    private long _bytes;
    private bool _connecting;
    private bool _readable;
    private bool _hungUp;
    private bool _sentEnd;
    private bool _hostEnded;
    private bool _closeWhenWritten;

    private Tunnel(NetworkLoop loop, uint id, int fd)
        : base(loop, id) => _fd = fd;

    /// <summary>Whether the tunnel waits for its turn to be read.</summary>
    internal bool IsScheduled { get; set; }

    /// <summary>Takes over a connection that a program of the guest has made; the Open frame has been added.</summary>
    internal static Tunnel Outgoing(NetworkLoop loop, uint id, int fd)
    {
        var tunnel = new Tunnel(loop, id, fd);
        tunnel.Prepare();
        return tunnel;
    }

    /// <summary>Connects to a port of the guest.</summary>
    /// <param name="loop">The loop.</param>
    /// <param name="id">The stream's id.</param>
    /// <param name="targets">Addresses to try, one after the other.</param>
    internal static Tunnel Incoming(NetworkLoop loop, uint id, params ReadOnlySpan<byte[]> targets)
    {
        var tunnel = new Tunnel(loop, id, -1) { _connecting = true };
        foreach (byte[] target in targets)
        {
            tunnel._targets.Enqueue(target);
        }

        return tunnel;
    }

    /// <summary>Begins to connect to the next address.</summary>
    internal void ConnectNext()
    {
        int errno = Errno.ENOENT;
        while (_targets.TryDequeue(out byte[]? target))
        {
            CloseSocket(reset: false);
            _fd = Libc.Socket(SocketAddress.Family(target), Linux.SOCK_STREAM | Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK, 0);
            if (_fd < 0)
            {
                errno = Marshal.GetLastPInvokeError();
                continue;
            }

            if (Libc.Connect(_fd, target, (uint)target.Length) == 0 || Marshal.GetLastPInvokeError() == Linux.EINPROGRESS)
            {
                Prepare(); // its first event says how it went
                return;
            }

            errno = Marshal.GetLastPInvokeError();
        }

        Fail(errno);
    }

    /// <summary>The socket has something to say.</summary>
    internal void OnEvent(uint events)
    {
        if (_fd < 0)
        {
            return;
        }

        if (_connecting && !Connected(events))
        {
            return;
        }

        if ((events & Linux.EPOLLERR) != 0 && TakeError() is var errno and not 0)
        {
            Break(errno); // also while nothing is read: a reset is not to wait for room or for the host
            return;
        }

        if ((events & (Linux.EPOLLOUT | Linux.EPOLLHUP)) != 0)
        {
            Flush();
        }

        if ((events & (Linux.EPOLLIN | Linux.EPOLLRDHUP | Linux.EPOLLHUP | Linux.EPOLLERR)) != 0)
        {
            _hungUp |= (events & (Linux.EPOLLRDHUP | Linux.EPOLLHUP | Linux.EPOLLERR)) != 0;
            _readable = true;
            Loop.Schedule(this);
        }
    }

    /// <summary>Reads once and sends it on.</summary>
    /// <returns>Whether there may be more, and room for it.</returns>
    internal bool ReadOnce()
    {
        if (_fd < 0 || !_readable || _sentEnd || _room == 0)
        {
            return false;
        }

        Span<byte> target = Loop.Out.Payload(Math.Min(SmallestRead, _room));
        target = target[..Math.Min(target.Length, _room)];
        nint count = Libc.Read(_fd, target, (nuint)target.Length);
        if (count > 0)
        {
            Loop.Out.Commit(FrameType.Data, (byte)DataChannel.Content, Id, (int)count);
            Loop.NoteOutput();
            _room -= (int)count;
            _bytes += count;
            Loop.Traffic.AddSent((int)count);

            // Less than asked for: the socket is empty, and more, or its end, is an event; unless the end has been announced already.
            _readable = count == target.Length || _hungUp;
            return _readable && _room > 0;
        }

        if (count == 0)
        {
            _readable = false;
            _sentEnd = true;
            Loop.Out.Add(FrameType.End, 0, Id, default);
            Loop.NoteOutput();
            CheckDone();
            return false;
        }

        int errno = Marshal.GetLastPInvokeError();
        if (errno is Errno.EAGAIN or Errno.EINTR)
        {
            _readable = errno == Errno.EINTR;
            return _readable;
        }

        Break(errno);
        return false;
    }

    internal override void OnData(ReadOnlySpan<byte> bytes)
    {
        Loop.Traffic.AddReceived(bytes.Length);
        int taken = _fd < 0 ? bytes.Length : _pending.IsEmpty && !_connecting ? WriteNow(bytes) : 0;
        if (taken < bytes.Length && _fd >= 0)
        {
            _pending.Add(bytes[taken..]);
        }

        Consumed(taken);
    }

    internal override void OnEnd()
    {
        _hostEnded = true;
        FinishWriting();
    }

    internal override void OnCredit(int bytes)
    {
        _room += bytes;
        Loop.Schedule(this);
    }

    internal override void OnCancel()
    {
        CloseSocket(reset: true);
        Loop.Fail(this, AgentErrors.Make(AgentErrorCodes.Cancelled, 0, "cancelled"));
    }

    internal override void OnAnswer(bool succeeded, ReadOnlySpan<byte> payload)
    {
        if (succeeded && !_pending.IsEmpty && _fd >= 0)
        {
            _closeWhenWritten = true; // the last bytes are still on their way to the program
            return;
        }

        CloseSocket(reset: !succeeded);
        Loop.Close(this);
    }

    internal override void OnSessionLost() => CloseSocket(reset: true);

    private void Prepare()
    {
        Span<byte> one = [1, 0, 0, 0];
        _ = Libc.SetSockOpt(_fd, Linux.IPPROTO_TCP, Linux.TCP_NODELAY, one, sizeof(int));
        Loop.Events.Add(
            _fd, Linux.EPOLLIN | Linux.EPOLLOUT | Linux.EPOLLRDHUP | Linux.EPOLLET, EventKind.Tunnel, Id);
    }

    private bool Connected(uint events)
    {
        if ((events & (Linux.EPOLLOUT | Linux.EPOLLERR | Linux.EPOLLHUP)) == 0)
        {
            return false;
        }

        int errno = TakeError();
        if (errno != 0)
        {
            if (_targets.Count > 0)
            {
                ConnectNext();
            }
            else
            {
                Fail(errno);
            }

            return false;
        }

        _connecting = false;
        _targets.Clear();
        Loop.Out.AddJson(FrameType.Started, Id, new StartedReply(), ProtocolJsonContext.Default.StartedReply);
        Loop.NoteOutput();
        Flush();
        return _fd >= 0;
    }

    private int TakeError()
    {
        Span<byte> error = stackalloc byte[sizeof(int)];
        uint length = sizeof(int);
        return Libc.GetSockOpt(_fd, Linux.SOL_SOCKET, Linux.SO_ERROR, error, ref length) < 0
            ? Marshal.GetLastPInvokeError()
            : BitConverter.ToInt32(error);
    }

    private void Flush()
    {
        if (_fd < 0 || _connecting)
        {
            return;
        }

        if (!_pending.IsEmpty)
        {
            int taken = WriteNow(_pending.All);
            if (_fd < 0)
            {
                return;
            }

            _pending.Drop(taken);
            Consumed(taken);
        }

        FinishWriting();
    }

    /// <summary>Everything that the host sent has been written: its end can be passed on.</summary>
    private void FinishWriting()
    {
        if (!_pending.IsEmpty || _fd < 0 || _connecting)
        {
            return;
        }

        if (_closeWhenWritten)
        {
            CloseSocket(reset: false);
            Loop.Close(this);
        }
        else if (_hostEnded)
        {
            _ = Libc.Shutdown(_fd, Linux.SHUT_WR);
            CheckDone();
        }
    }

    private void CheckDone()
    {
        if (!IsOurs && _sentEnd && _hostEnded && _pending.IsEmpty)
        {
            CloseSocket(reset: false);
            Loop.Finish(this, new FileResult { Bytes = _bytes });
        }
    }

    private int WriteNow(ReadOnlySpan<byte> bytes)
    {
        int total = 0;
        while (total < bytes.Length)
        {
            nint count = Libc.Write(_fd, bytes[total..], (nuint)(bytes.Length - total));
            if (count > 0)
            {
                total += (int)count;
                continue;
            }

            int errno = Marshal.GetLastPInvokeError();
            if (errno == Errno.EAGAIN)
            {
                break;
            }

            if (errno != Errno.EINTR)
            {
                Break(errno); // the program has closed or reset its end
                return bytes.Length;
            }
        }

        return total;
    }

    /// <summary>The guest's side of the connection is gone.</summary>
    private void Break(int errno)
    {
        CloseSocket(reset: true);
        if (IsOurs && _closeWhenWritten)
        {
            Loop.Close(this); // the host has answered already
        }
        else if (IsOurs)
        {
            Loop.Abandon(this);
        }
        else
        {
            Fail(errno);
        }
    }

    private void Fail(int errno)
    {
        CloseSocket(reset: true);
        Loop.Fail(this, AgentErrors.Make(AgentErrorCodes.System, errno, "the guest's port: " + Errno.Describe(errno)));
    }

    private void CloseSocket(bool reset)
    {
        if (_fd < 0)
        {
            return;
        }

        if (reset)
        {
            SocketAddress.SetReset(_fd);
        }

        _ = Libc.Close(_fd);
        _fd = -1;
    }
}
