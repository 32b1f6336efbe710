using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Serialises the writes of several threads to one port. Whole frames go in; what the port does not take at once is kept and written
/// when it has room again, so that the thread that owns the port's events never blocks on the host.
/// </summary>
/// <param name="fd">The port, opened by the caller. Nonblocking if <see cref="FlushPending"/> will be called on its events.</param>
internal sealed class PortWriter(int fd)
{
    private const int SmallestChunk = 4096;

    private static readonly byte[] s_noFrame = new byte[ProtocolConstants.MaxFrameSize + ProtocolConstants.HeaderSize + ProtocolConstants.TrailerSize];

    private readonly object _gate = new(); // waited upon, which Lock cannot
    private byte[] _pending = new byte[2 * ProtocolConstants.MaxFrameSize];
    private int _pendingStart;
    private int _pendingEnd;
    private uint _tag;
    private bool _full;
    private bool _held;

    /// <summary>Whether the port has taken everything that was written.</summary>
    internal bool IsDrained => !Volatile.Read(ref _full);

    /// <summary>Begins a session: what is left of the last one is dropped and its writers' frames from now on, too.</summary>
    /// <param name="sessionTag">The new session's tag; 0: none, nothing is written.</param>
    internal void BeginSession(uint sessionTag)
    {
        lock (_gate)
        {
            _tag = sessionTag;
            _held = false;
            _pendingStart = _pendingEnd = 0;
            Drained();
        }
    }

    /// <summary>From here on nothing is written to the port: what comes is kept, and patient writers wait.</summary>
    internal void Hold()
    {
        lock (_gate)
        {
            _held = true;
        }
    }

    /// <summary>Ends <see cref="Hold"/>.</summary>
    internal void Release()
    {
        lock (_gate)
        {
            _held = false;
            _ = FlushPending();
        }
    }

    /// <summary>
    /// Ends the session in a way that the host cannot miss: what it gets is no frame, wherever the last one was cut off. For defects, after
    /// which nothing of the session is left.
    /// </summary>
    internal void Spoil()
    {
        lock (_gate)
        {
            BeginSession(0);
            Write(0, s_noFrame);
        }
    }

    /// <summary>Writes whole frames of one session, or keeps them for later. Never waits on a nonblocking port.</summary>
    /// <param name="sessionTag">The session they belong to; those of an old one are dropped.</param>
    /// <param name="frames">The frames, at most <see cref="ProtocolConstants.MaxFrameSize"/> bytes together.</param>
    internal void Write(uint sessionTag, ReadOnlySpan<byte> frames)
    {
        lock (_gate)
        {
            if (sessionTag != _tag)
            {
                return;
            }

            int written = _held || _pendingEnd > _pendingStart ? 0 : WriteNow(frames);
            if (written < frames.Length)
            {
                Keep(frames[written..]);
            }
        }
    }

    /// <summary>For threads that may wait: as <see cref="Write"/>, once everything earlier has left.</summary>
    internal void WriteWhenDrained(uint sessionTag, ReadOnlySpan<byte> frames)
    {
        // No deadline: the host reads always, and when it comes back after an absence it begins a session, which drains by dropping.
        lock (_gate)
        {
            while ((_full || _held) && sessionTag == _tag)
            {
                Monitor.Wait(_gate);
            }

            Write(sessionTag, frames);
        }
    }

    /// <summary>Writes what was kept. Call when the port has room again.</summary>
    /// <returns>Whether nothing is left.</returns>
    internal bool FlushPending()
    {
        lock (_gate)
        {
            if (_held)
            {
                return false;
            }

            if (_pendingEnd > _pendingStart)
            {
                _pendingStart += WriteNow(_pending.AsSpan(_pendingStart.._pendingEnd));
            }

            if (_pendingStart < _pendingEnd)
            {
                return false;
            }

            _pendingStart = _pendingEnd = 0;
            Drained();
            return true;
        }
    }

    private int WriteNow(ReadOnlySpan<byte> bytes)
    {
        int total = 0;
        int chunk = ProtocolConstants.MaxFrameSize;
        while (total < bytes.Length)
        {
            int count = Math.Min(chunk, bytes.Length - total);
            nint n = Libc.Write(fd, bytes.Slice(total, count), (nuint)count);
            if (n > 0)
            {
                total += (int)n;
                continue;
            }

            int errno = n < 0 ? Marshal.GetLastPInvokeError() : Errno.EAGAIN;
            if (errno == Errno.ENOMEM && chunk > SmallestChunk)
            {
                chunk = SmallestChunk; // the driver copies each write into one contiguous buffer: smaller ones are easier to get
            }
            else if (errno != Errno.EINTR)
            {
                break;
            }
        }

        return total;
    }

    private void Keep(ReadOnlySpan<byte> rest)
    {
        if (_pendingEnd + rest.Length > _pending.Length)
        {
            int kept = _pendingEnd - _pendingStart;
            byte[] target = kept + rest.Length <= _pending.Length ? _pending : new byte[2 * (kept + rest.Length)];
            _pending.AsSpan(_pendingStart, kept).CopyTo(target);
            _pending = target;
            _pendingStart = 0;
            _pendingEnd = kept;
        }

        rest.CopyTo(_pending.AsSpan(_pendingEnd));
        _pendingEnd += rest.Length;
        Volatile.Write(ref _full, true);
    }

    private void Drained()
    {
        Volatile.Write(ref _full, false);
        Monitor.PulseAll(_gate);
    }
}
