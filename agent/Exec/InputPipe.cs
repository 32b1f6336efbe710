using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>The writing end of a command's standard input, and what the command has not taken yet. Belongs to the bulk loop's thread.</summary>
internal sealed class InputPipe(BulkLoop loop)
{
    private int _fd = -1;
    private byte[] _waiting = [];
    private int _start;
    private int _end;
    private bool _ended;

    /// <summary>Whether nothing can be written any more; what comes is dropped.</summary>
    internal bool IsClosed => _fd < 0;

    /// <summary>Takes over a nonblocking descriptor.</summary>
    internal void Open(int fd) => _fd = fd;

    /// <summary>Writes, or keeps what the pipe does not take. The stream's window bounds what is kept.</summary>
    /// <returns>Bytes that are done with.</returns>
    internal int Write(ReadOnlySpan<byte> bytes, uint key)
    {
        if (IsClosed || _ended)
        {
            return bytes.Length;
        }

        int taken = _end > _start ? 0 : WriteNow(bytes);
        if (taken < bytes.Length && !IsClosed)
        {
            Keep(bytes[taken..], key);
            return taken;
        }

        return bytes.Length;
    }

    /// <summary>No more bytes will come.</summary>
    internal void End()
    {
        _ended = true;
        if (_start == _end)
        {
            Close();
        }
    }

    /// <summary>The pipe has room, or nobody reads it any more.</summary>
    /// <returns>Bytes that are done with.</returns>
    internal int Flush()
    {
        int waited = _end - _start;
        if (waited == 0)
        {
            return 0;
        }

        int taken = WriteNow(_waiting.AsSpan(_start, waited));
        if (IsClosed)
        {
            return waited;
        }

        _start += taken;
        if (_start == _end)
        {
            _start = _end = 0;
            loop.Events.Remove(_fd);
            if (_ended)
            {
                Close();
            }
        }

        return taken;
    }

    /// <summary>Closes the pipe; what waits is dropped.</summary>
    /// <returns>Bytes dropped.</returns>
    internal int Close()
    {
        int waited = _end - _start;
        _start = _end = 0;
        if (!IsClosed)
        {
            if (waited > 0)
            {
                loop.Events.Remove(_fd); // closing would not do that for a terminal, whose output is the same open file
            }

            _ = Libc.Close(_fd);
            _fd = -1;
        }

        return waited;
    }

    private int WriteNow(ReadOnlySpan<byte> bytes)
    {
        int total = 0;
        while (total < bytes.Length)
        {
            nint n = Libc.Write(_fd, bytes[total..], (nuint)(bytes.Length - total));
            if (n > 0)
            {
                total += (int)n;
                continue;
            }

            int errno = Marshal.GetLastPInvokeError();
            if (errno == Errno.EAGAIN)
            {
                break;
            }

            if (errno != Errno.EINTR)
            {
                _ = Close(); // the command has closed its end
                break;
            }
        }

        return total;
    }

    private void Keep(ReadOnlySpan<byte> bytes, uint key)
    {
        if (_start == _end)
        {
            loop.Events.Add(_fd, Linux.EPOLLOUT, EventKind.StandardInput, key);
        }

        int kept = _end - _start;
        if (_end + bytes.Length > _waiting.Length)
        {
            byte[] target = kept + bytes.Length <= _waiting.Length ? _waiting : new byte[Math.Max(64 * 1024, 2 * (kept + bytes.Length))];
            _waiting.AsSpan(_start, kept).CopyTo(target);
            _waiting = target;
            _start = 0;
            _end = kept;
        }

        bytes.CopyTo(_waiting.AsSpan(_end));
        _end += bytes.Length;
    }
}
