using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Where a port's loop stands still while the machine may be saved: it neither reads nor writes its port nor touches anything else. Then the
/// session goes on as if nothing had happened, or a new one begins; for a new one the loop does no more than answer its preamble until it is
/// released. The members for the control port's thread are so marked; the others are the loop's.
/// </summary>
/// <param name="port">The port, nonblocking.</param>
/// <param name="writer">Its writer.</param>
/// <param name="source">What was read from it.</param>
/// <param name="output">The loop's own frames on their way out.</param>
internal sealed class ParkingPlace(int port, PortWriter writer, FrameSource source, FrameBuffer output)
{
    private readonly object _gate = new();
    private readonly int _wake = GuestException.Check(Libc.EventFd(0, Linux.EFD_CLOEXEC | Linux.EFD_NONBLOCK), "eventfd");
    private readonly int _epoll = GuestException.Check(Libc.EpollCreate1(Linux.EPOLL_CLOEXEC), "epoll_create1");
    private readonly EpollEvent[] _events = new EpollEvent[2];
    private bool _wanted;
    private bool _parked;
    private ulong? _session; // that the control port has begun meanwhile
    private bool _sessionIsNew;

    /// <summary>Descriptor that becomes readable when the loop should come here.</summary>
    internal int Fd => _wake;

    /// <summary>Whether the loop should come here.</summary>
    internal bool IsWanted => Volatile.Read(ref _wanted);

    /// <summary>Asks the loop to come. Control's side; does not wait.</summary>
    internal void Ask()
    {
        lock (_gate)
        {
            Volatile.Write(ref _wanted, true);
            _session = null;
            _sessionIsNew = false;
        }

        Wake();
    }

    /// <summary>Waits until the loop is here. Control's side.</summary>
    /// <param name="deadline">Until when, milliseconds of <see cref="ClockTicks"/>.</param>
    internal bool WaitUntilParked(long deadline)
    {
        lock (_gate)
        {
            while (!_parked)
            {
                long left = deadline - ClockTicks.Milliseconds;
                if (left <= 0)
                {
                    return false;
                }

                _ = Monitor.Wait(_gate, (int)left);
            }

            return true;
        }
    }

    /// <summary>The control port has begun a session: the old one is over. The loop stays until <see cref="Release"/>. Control's side.</summary>
    internal void BeginSession(ulong epoch)
    {
        lock (_gate)
        {
            _session = epoch;
            _sessionIsNew = true;
            Monitor.PulseAll(_gate);
        }

        Wake();
    }

    /// <summary>Lets the loop go on, or not come after all. Control's side.</summary>
    internal void Release()
    {
        lock (_gate)
        {
            Volatile.Write(ref _wanted, false);
            Monitor.PulseAll(_gate);
        }

        Wake();
    }

    /// <summary>Stands still until <see cref="Release"/>.</summary>
    /// <returns>The session that has begun meanwhile, whose preamble may or may not have been found yet; <see langword="null"/>: none.</returns>
    internal ulong? Stay()
    {
        Drain();
        output.Flush();
        writer.Hold();
        ulong? session = null;
        try
        {
            while (WaitForOrder() is { } epoch)
            {
                session = epoch;
                Answer(epoch);
            }
        }
        finally
        {
            lock (_gate)
            {
                _parked = false;
            }

            writer.Release();
        }

        return session;
    }

    /// <summary>Takes the event back that <see cref="Fd"/> is.</summary>
    internal void Drain()
    {
        Span<byte> count = stackalloc byte[8];
        _ = Libc.Read(_wake, count, 8);
    }

    /// <summary>Closes the descriptors.</summary>
    internal void Close()
    {
        _ = Libc.Close(_wake);
        _ = Libc.Close(_epoll);
    }

    private void Wake()
    {
        ReadOnlySpan<byte> one = [1, 0, 0, 0, 0, 0, 0, 0];
        _ = Libc.Write(_wake, one, 8); // fails only where the counter is at its maximum, which wakes as well
    }

    /// <summary>Blocks until there is a new session to answer, or (<see langword="null"/>) the loop may leave.</summary>
    private ulong? WaitForOrder()
    {
        lock (_gate)
        {
            _parked = true;
            Monitor.PulseAll(_gate);
            while (_wanted && !_sessionIsNew)
            {
                Monitor.Wait(_gate); // ends by Thaw, a session's resume or the watchdog, each of which releases
            }

            if (!_sessionIsNew)
            {
                _parked = false; // here, so that nobody who asks anew takes a loop that is leaving for one that stays
                return null;
            }

            _sessionIsNew = false;
            return _session;
        }
    }

    /// <summary>Drops what is left of the old session and answers the new one's preamble when it comes.</summary>
    private void Answer(ulong epoch)
    {
        writer.BeginSession(0);
        output.BeginSession(0);
        source.Reset(epoch);
        Watch(Linux.EPOLL_CTL_ADD, _wake, Linux.EPOLLIN);

        // Edge-triggered: while no host is connected the port has hung up, which would never stop being an event.
        Watch(Linux.EPOLL_CTL_ADD, port, Linux.EPOLLIN | Linux.EPOLLOUT | Linux.EPOLLHUP | Linux.EPOLLET);
        try
        {
            while (!HasNewOrder())
            {
                if (!source.HasSession)
                {
                    Search();
                }

                _ = writer.FlushPending();
                _ = Libc.EpollWait(_epoll, _events, _events.Length, -1); // ends as WaitForOrder does
                Drain();
            }
        }
        finally
        {
            Watch(Linux.EPOLL_CTL_DEL, port, 0);
            Watch(Linux.EPOLL_CTL_DEL, _wake, 0);
        }
    }

    private bool HasNewOrder()
    {
        lock (_gate)
        {
            return _sessionIsNew || !_wanted;
        }
    }

    private void Search()
    {
        while (true)
        {
            if (source.Next(out _, out _, out Preamble preamble) == FrameSourceStatus.Preamble)
            {
                writer.BeginSession(preamble.SessionTag);
                output.BeginSession(preamble.SessionTag);
                Span<byte> answer = stackalloc byte[ProtocolConstants.PreambleSize];
                new Preamble(preamble.Epoch, ProtocolConstants.Generation).Write(answer);
                writer.Write(preamble.SessionTag, answer);
                return;
            }

            Span<byte> room = source.Room;
            nint count = Libc.Read(port, room, (nuint)room.Length);
            if (count > 0)
            {
                source.Advance((int)count);
            }
            else if (count == 0 || Marshal.GetLastPInvokeError() != Errno.EINTR)
            {
                return; // read empty, or the host is gone: its return is an event
            }
        }
    }

    private void Watch(int operation, int fd, uint events)
    {
        var change = new EpollEvent { Events = events };
        _ = GuestException.Check(Libc.EpollCtl(_epoll, operation, fd, ref change), "epoll_ctl");
    }
}
