using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>The reading end of a command's standard output or error. Belongs to the bulk loop's thread.</summary>
internal sealed class OutputPipe(BulkLoop loop, DataChannel channel)
{
    private const nuint FIONREAD = 0x541B;

    private int _fd = -1;
    private bool _watched;

    /// <summary>Whether the last writer is gone and everything was read.</summary>
    internal bool IsClosed => _fd < 0;

    /// <summary>Bytes that were in the pipe when the command ended, and have not been read.</summary>
    internal long Owed { get; private set; }

    /// <summary>Takes over a nonblocking descriptor.</summary>
    internal void Open(int fd) => _fd = fd;

    /// <summary>Watches the pipe, or not.</summary>
    internal void Watch(bool wanted, uint key)
    {
        if (IsClosed || wanted == _watched)
        {
            return;
        }

        _watched = wanted;
        if (wanted)
        {
            loop.Events.Add(
                _fd, Linux.EPOLLIN, channel == DataChannel.StandardOutput ? EventKind.StandardOutput : EventKind.StandardError, key);
        }
        else
        {
            loop.Events.Remove(_fd); // a mask of zero would still report EPOLLHUP, over and over
        }
    }

    /// <summary>Sends what is there, once.</summary>
    /// <param name="events">What epoll said.</param>
    /// <param name="streamId">The stream.</param>
    /// <param name="room">Credit left.</param>
    /// <returns>Bytes sent.</returns>
    internal int Pump(uint events, uint streamId, int room)
    {
        if ((events & Linux.EPOLLIN) == 0)
        {
            Close(); // hung up and empty
            return 0;
        }

        Span<byte> target = loop.Out.Payload(Math.Min(room, MinimumRead));
        int count = (int)Libc.Read(_fd, target, (nuint)Math.Min(room, target.Length));
        if (count > 0)
        {
            loop.Out.Commit(FrameType.Data, (byte)channel, streamId, count);
            Owed = Math.Max(0, Owed - count);
            return count;
        }

        int errno = count < 0 ? Marshal.GetLastPInvokeError() : 0;
        if (errno == Errno.EAGAIN)
        {
            Owed = 0; // there is nothing: a left-over process that has the pipe too has read it
        }
        else if (errno != Errno.EINTR)
        {
            Close();
        }

        return 0;
    }

    /// <summary>The command is over: what is in the pipe now is what it is owed.</summary>
    internal void MeasureOwed()
    {
        int bytes = 0;
        Owed = !IsClosed && Libc.IoCtlInt(_fd, FIONREAD, ref bytes) == 0 ? bytes : 0;
    }

    /// <summary>What is not in the pipe any more, as a left-over process has read it, is not owed any more.</summary>
    internal void ForgetTaken()
    {
        int bytes = 0;
        Owed = Owed > 0 && !IsClosed && Libc.IoCtlInt(_fd, FIONREAD, ref bytes) == 0 ? Math.Min(Owed, bytes) : 0;
    }

    /// <summary>Gives the descriptor up to the caller.</summary>
    internal int Release(uint key)
    {
        Watch(wanted: false, key);
        int fd = _fd;
        _fd = -1;
        Owed = 0;
        return fd;
    }

    /// <summary>Closes the pipe.</summary>
    internal void Close()
    {
        if (!IsClosed)
        {
            _ = Libc.Close(_fd); // leaves the epoll by that
            _fd = -1;
            Owed = 0;
        }
    }

    // A frame shorter than this is not worth the copy: then the gathered frames leave first.
    private const int MinimumRead = 16 * 1024;
}
