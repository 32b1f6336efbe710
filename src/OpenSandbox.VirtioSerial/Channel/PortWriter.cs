using System.Net.Sockets;

namespace OpenSandbox.VirtioSerial;

/// <summary>
/// The sending half of one port. Appending copies whole frames into rented segments and never waits; flushing sends them: at once on the
/// caller's thread while the socket takes bytes, then from a pump. Frames leave in the order in which they were appended. Thread-safe.
/// </summary>
internal sealed class PortWriter
{
    /// <summary>Data writers wait while more than this is unsent. Other frames are bounded by their own rules and always go in.</summary>
    internal const int HighWater = 262_144;

    /// <summary>
    /// With more than this unsent the guest does not read any more: what it causes by writing (answers, credit) must not add up for ever.
    /// Above what all requests and answers that may wait come to in practice.
    /// </summary>
    internal const int MaxUnsent = 128 * 1024 * 1024;

    private const int LowWater = HighWater / 2;
    private const int SmallSegment = 4_096;
    private const int LargeSegment = 65_536;
    private const int MaxSpareSegments = 8;

    /// <summary>Sends in a row on a caller's thread; then the pump takes over, so that no caller works for all others for ever.</summary>
    private const int MaxInlineSends = 32;

    private readonly Lock _lock = new();
    private readonly Socket _socket;
    private readonly uint _sessionTag;
    private readonly Action<Exception> _lost;
    private readonly List<StreamCore> _waiters = [];
    private readonly Stack<DataSegment> _spare = new();
    private DataSegment? _head;
    private DataSegment? _tail;
    private int _unsent;
    private bool _sending;
    private bool _closed;
    private List<byte[]>? _held;
    private Task _pump = Task.CompletedTask;

    /// <summary>Makes the writer.</summary>
    /// <param name="socket">A socket with <see cref="Socket.Blocking"/> off; stays the caller's.</param>
    /// <param name="sessionTag">The tag of all frames.</param>
    /// <param name="lost">Told, on any thread and possibly under a stream's lock, that the socket does not send any more.</param>
    internal PortWriter(Socket socket, uint sessionTag, Action<Exception> lost)
    {
        _socket = socket;
        _sessionTag = sessionTag;
        _lost = lost;
    }

    /// <summary>Appends one frame.</summary>
    /// <param name="type">Its type.</param>
    /// <param name="flags">Its flags.</param>
    /// <param name="streamId">Its stream.</param>
    /// <param name="payload">Its payload.</param>
    /// <param name="order">How it stands to a hold.</param>
    internal void Append(FrameType type, byte flags, uint streamId, ReadOnlySpan<byte> payload, FrameOrder order = FrameOrder.Ordinary)
    {
        int size = ProtocolConstants.HeaderSize + payload.Length + ProtocolConstants.TrailerSize;
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            Span<byte> frame = _held is not null && order == FrameOrder.Ordinary ? Withhold(size) : Reserve(size);
            if (order == FrameOrder.Last)
            {
                _held ??= [];
            }

            payload.CopyTo(frame[ProtocolConstants.HeaderSize..]);
            FrameWriter.Seal(frame, type, flags, streamId, _sessionTag, payload.Length);
            if (_unsent <= MaxUnsent)
            {
                return;
            }

            _closed = true;
        }

        _lost(new IOException($"more than {MaxUnsent} bytes wait for the guest, which does not read"));
    }

    /// <summary>Ends a hold: what was held back follows, in the order in which it was appended. Flush afterwards.</summary>
    internal void Release()
    {
        lock (_lock)
        {
            List<byte[]> held = _held ?? [];
            _held = null;
            foreach (byte[] frame in held)
            {
                if (!_closed)
                {
                    _unsent -= frame.Length; // it was counted already
                    frame.CopyTo(Reserve(frame.Length));
                }
            }
        }
    }

    /// <summary>Appends bytes that are no frame: padding and preamble.</summary>
    /// <param name="bytes">At most <see cref="LargeSegment"/> bytes.</param>
    internal void AppendRaw(ReadOnlySpan<byte> bytes)
    {
        lock (_lock)
        {
            if (!_closed)
            {
                bytes.CopyTo(Reserve(bytes.Length));
            }
        }
    }

    /// <summary>Whether Data may be appended now. If not, the stream is woken once there is room; its lock is held.</summary>
    internal bool HasRoom(StreamCore waiter)
    {
        lock (_lock)
        {
            if (_unsent < HighWater || _closed)
            {
                return true;
            }

            if (!_waiters.Contains(waiter))
            {
                _waiters.Add(waiter);
            }

            return false;
        }
    }

    /// <summary>Sends what was appended, as far as the socket takes it without waiting; the rest follows by itself.</summary>
    internal void Flush()
    {
        lock (_lock)
        {
            if (_sending || _closed || _head is null)
            {
                return;
            }

            _sending = true;
        }

        try
        {
            SendInline();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            _lost(e);
        }
    }

    /// <summary>Stops: nothing is sent or kept from now on. The socket is closed by the caller, before or after.</summary>
    /// <returns>The end of the pump; comes once the socket is closed.</returns>
    internal Task Close()
    {
        lock (_lock)
        {
            _closed = true;
            _head = null;
            _tail = null;
            _held = null;
            _waiters.Clear();
            return _pump;
        }
    }

    private Span<byte> Withhold(int size)
    {
        byte[] frame = new byte[size];
        _held!.Add(frame);
        _unsent += size;
        return frame;
    }

    private Span<byte> Reserve(int size)
    {
        if (_tail is null || _tail.Room < size)
        {
            DataSegment segment = _spare.TryPop(out DataSegment? spare) ? spare : new DataSegment();
            segment.Rent(Math.Max(size, _unsent == 0 ? SmallSegment : LargeSegment));
            if (_tail is null)
            {
                _head = segment;
            }
            else
            {
                _tail.Next = segment;
            }

            _tail = segment;
        }

        Span<byte> space = _tail.Bytes.AsSpan(_tail.End, size);
        _tail.End += size;
        _unsent += size;
        return space;
    }

    /// <summary>Runs with <see cref="_sending"/> set and gives it back, or hands it to the pump.</summary>
    private void SendInline()
    {
        for (int sends = 0; Take() is { } segment; sends++)
        {
            int sent = _socket.Send(segment.Bytes.AsSpan(segment.Start, segment.End - segment.Start), SocketFlags.None, out SocketError error);
            if (error is not (SocketError.Success or SocketError.WouldBlock))
            {
                throw new SocketException((int)error);
            }

            segment.Start += sent;
            if (segment.Start < segment.End || sends == MaxInlineSends)
            {
                lock (_lock)
                {
                    if (!_closed)
                    {
                        _pump = PumpAsync(segment);
                    }
                }

                return;
            }

            Sent(segment);
        }
    }

    private async Task PumpAsync(DataSegment first)
    {
        // The caller's lock is held until here.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            for (DataSegment? segment = first; segment is not null; segment = Take())
            {
                while (segment.Start < segment.End)
                {
                    segment.Start += await _socket.SendAsync(segment.Bytes.AsMemory(segment.Start, segment.End - segment.Start), SocketFlags.None)
                        .ConfigureAwait(false);
                }

                Sent(segment);
            }
        }
        catch (Exception e)
        {
            // The boundary of the pump: whatever ended it, nothing will be sent any more, and callers must not wait for ever.
            _lost(e);
        }
    }

    /// <summary>The next segment to send, now out of reach of <see cref="Append"/>; none ends the sending.</summary>
    private DataSegment? Take()
    {
        lock (_lock)
        {
            DataSegment? segment = _head;
            if (segment is null)
            {
                _sending = false;
                return null;
            }

            _head = segment.Next;
            if (_head is null)
            {
                _tail = null;
            }

            segment.Next = null;
            return segment;
        }
    }

    private void Sent(DataSegment segment)
    {
        int size = segment.End;
        segment.Return();
        StreamCore[] waiters;
        lock (_lock)
        {
            _unsent -= size;
            if (_spare.Count < MaxSpareSegments)
            {
                _spare.Push(segment);
            }

            if (_waiters.Count == 0 || _unsent > LowWater)
            {
                return;
            }

            waiters = [.. _waiters];
            _waiters.Clear();
        }

        // Outside the lock: a stream takes its own lock first, then this one.
        foreach (StreamCore waiter in waiters)
        {
            waiter.WakeWriter();
        }
    }
}
