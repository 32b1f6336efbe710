using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>The agent's end of an output of a managed process: pipe or terminal, read into the ring. Belongs to the bulk loop's thread.</summary>
internal sealed class CapturePipe(BulkLoop loop, DataChannel channel, EventKind kind)
{
    private const nuint FIONREAD = 0x541B;

    private bool _watched;

    /// <summary>The descriptor; -1: closed.</summary>
    internal int Fd { get; private set; } = -1;

    /// <summary>Whether the last writer is gone and everything was read, or there never was a pipe.</summary>
    internal bool IsClosed => Fd < 0;

    /// <summary>Bytes that were in the pipe when it was last measured, and have not been read since.</summary>
    internal long Owed { get; private set; }

    /// <summary>Takes over a nonblocking descriptor.</summary>
    internal void Open(int fd) => Fd = fd;

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
            loop.Events.Add(Fd, Linux.EPOLLIN, kind, key);
        }
        else
        {
            loop.Events.Remove(Fd); // a mask of zero would still report EPOLLHUP, over and over
        }
    }

    /// <summary>Reads once.</summary>
    /// <param name="ring">Where to.</param>
    /// <param name="hold">Nothing from this sequence number on may be overwritten.</param>
    /// <param name="atMost">Bytes at most.</param>
    /// <returns>Bytes read.</returns>
    internal int Pump(ScrollbackRing ring, long hold, int atMost = int.MaxValue)
    {
        Span<byte> room = ring.Reserve(channel, hold);
        if (IsClosed || room.IsEmpty)
        {
            return 0;
        }

        nint count = Libc.Read(Fd, room, (nuint)Math.Min(room.Length, atMost));
        int errno = count < 0 ? Marshal.GetLastPInvokeError() : 0;
        ring.Commit((int)Math.Max(0, count));
        if (count > 0)
        {
            Owed = Math.Max(0, Owed - count);
            return (int)count;
        }

        if (errno == Errno.EAGAIN)
        {
            Owed = 0; // there is nothing: a process that has the pipe too has read it, or flushed the terminal
        }
        else if (errno != Errno.EINTR)
        {
            Close(); // the end; of a terminal that is EIO
        }

        return 0;
    }

    /// <summary>What is in the pipe now is what its reader is owed.</summary>
    internal void MeasureOwed()
    {
        int bytes = 0;
        Owed = !IsClosed && Libc.IoCtlInt(Fd, FIONREAD, ref bytes) == 0 ? bytes : 0;
    }

    /// <summary>Gives the descriptor up to the caller.</summary>
    internal int Release(uint key)
    {
        Watch(wanted: false, key);
        int fd = Fd;
        Fd = -1;
        Owed = 0;
        return fd;
    }

    /// <summary>Closes the descriptor.</summary>
    internal void Close()
    {
        if (!IsClosed)
        {
            Watch(wanted: false, 0); // closing would not do that for a terminal, whose input is the same open file
            _ = Libc.Close(Fd);
            Fd = -1;
            Owed = 0;
        }
    }
}
