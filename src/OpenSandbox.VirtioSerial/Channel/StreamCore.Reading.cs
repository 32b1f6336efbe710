using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace OpenSandbox.VirtioSerial;

/// <content>Data from the agent.</content>
internal sealed partial class StreamCore
{
    private readonly WakeSource _readWake = new();
    private readonly DataQueue _data = new();
    private int _outstanding;
    private int _consumed;
    private int _lease;
    private bool _lent;
    private bool _reading;
    private bool _receivedEnd;

    // A reader that waits with a buffer of its own gets the bytes straight from the receive buffer.
    private ArraySegment<byte> _direct;
    private DataChannel _directChannel;
    private int _directCount;

    /// <summary>Data has come.</summary>
    internal void OnData(DataChannel channel, in ReadOnlySequence<byte> payload)
    {
        lock (_lock)
        {
            if (_receivedEnd)
            {
                throw new GuestProtocolException(ProtocolViolation.DataAfterEnd, $"Data after End on stream {_id}.");
            }

            _outstanding += (int)payload.Length;
            if (_outstanding > ProtocolConstants.CreditWindow)
            {
                throw new GuestProtocolException(
                    ProtocolViolation.WindowExceeded, $"Stream {_id} has {_outstanding} bytes outstanding; {ProtocolConstants.CreditWindow} are allowed.");
            }

            if (_cancelled || _answered || _handle is null)
            {
                return;
            }

            ReadOnlySequence<byte> rest = payload;
            if (_direct.Count > 0 && _directCount == 0 && _data.IsEmpty)
            {
                int count = (int)Math.Min(_direct.Count, payload.Length);
                payload.Slice(0, count).CopyTo(_direct);
                _directChannel = channel;
                _directCount = count;
                rest = payload.Slice(count);
            }

            _data.Append(channel, rest);
            _readWake.Wake();
        }
    }

    /// <summary>The agent sends no more Data.</summary>
    internal void OnEnd()
    {
        lock (_lock)
        {
            if (_receivedEnd)
            {
                throw new GuestProtocolException(ProtocolViolation.DataAfterEnd, $"A second End on stream {_id}.");
            }

            _receivedEnd = true;
            _readWake.Wake();
        }
    }

    /// <summary>Lends out the oldest bytes.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<GuestData> ReadAsync(GuestStream handle, CancellationToken cancellationToken)
    {
        EnterRead(handle);
        CancellationTokenRegistration registration = default;
        try
        {
            while (true)
            {
                ValueTask wake;
                lock (_lock)
                {
                    ThrowIfUnusable(handle);
                    if (_data.TryPeek(out DataChannel channel, out ReadOnlyMemory<byte> bytes))
                    {
                        _lent = true;
                        return new GuestData(this, ++_lease, channel, bytes);
                    }

                    if (IsAtEnd())
                    {
                        return default;
                    }

                    cancellationToken.ThrowIfCancellationRequested();
                    wake = _readWake.Arm();
                }

                registration = WakeOnCancel(registration, cancellationToken);
                await wake.ConfigureAwait(false);
            }
        }
        finally
        {
            await registration.DisposeAsync().ConfigureAwait(false);
            LeaveExclusive(ref _reading);
        }
    }

    /// <summary>Copies the oldest bytes.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<(DataChannel Channel, int Count)> ReadAsync(
        GuestStream handle, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        EnterRead(handle);
        CancellationTokenRegistration registration = default;
        try
        {
            while (true)
            {
                ValueTask wake;
                lock (_lock)
                {
                    _direct = default;
                    if (_directCount > 0)
                    {
                        (DataChannel, int) filled = (_directChannel, _directCount);
                        _directCount = 0;
                        Consumed(filled.Item2);
                        ThrowIfUnusable(handle);
                        return filled;
                    }

                    ThrowIfUnusable(handle);
                    if (_data.TryPeek(out DataChannel channel, out ReadOnlyMemory<byte> bytes))
                    {
                        int count = Math.Min(bytes.Length, buffer.Length);
                        bytes.Span[..count].CopyTo(buffer.Span);
                        _data.Consume(count);
                        Consumed(count);
                        return (channel, count);
                    }

                    if (IsAtEnd())
                    {
                        return (default, 0);
                    }

                    cancellationToken.ThrowIfCancellationRequested();

                    // Only arrays: another kind of memory could run its owner's code, or throw, on the reader loop.
                    if (MemoryMarshal.TryGetArray(buffer, out ArraySegment<byte> array))
                    {
                        _direct = array;
                    }

                    wake = _readWake.Arm();
                }

                registration = WakeOnCancel(registration, cancellationToken);
                await wake.ConfigureAwait(false);
            }
        }
        finally
        {
            await registration.DisposeAsync().ConfigureAwait(false);
            LeaveExclusive(ref _reading);
            _port.Writer.Flush();
        }
    }

    /// <summary>Takes back what <see cref="ReadAsync(GuestStream, CancellationToken)"/> lent out; it counts as consumed.</summary>
    internal void Return(int lease, int count)
    {
        lock (_lock)
        {
            if (!_lent || _lease != lease)
            {
                return;
            }

            _lent = false;
            _data.Consume(count);
            if (_handle is null)
            {
                _data.Clear();
            }

            Consumed(count);
            RecycleIfUnused();
        }

        _port.Writer.Flush();
    }

    private void EnterRead(GuestStream handle)
    {
        lock (_lock)
        {
            if (_lent && _handle == handle)
            {
                throw new InvalidOperationException("Dispose the data of the last read first.");
            }
        }

        EnterExclusive(handle, ref _reading);
    }

    /// <summary>Whether the reader has everything. A request that failed ahead of End has no end, but a reason.</summary>
    private bool IsAtEnd()
    {
        if (!_receivedEnd)
        {
            ThrowIfError();
        }

        return _receivedEnd || _closed || _answered;
    }

    /// <summary>Grants room back, half a window at a time. The lock is held, and the caller flushes.</summary>
    private void Consumed(int count)
    {
        _consumed += count;
        if (_consumed < ProtocolConstants.CreditWindow / 2 || _closed || _cancelled || _answered || _receivedEnd || _failure is not null)
        {
            return;
        }

        Span<byte> payload = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteInt32LittleEndian(payload, _consumed);
        _outstanding -= _consumed;
        _consumed = 0;
        _port.Writer.Append(FrameType.Credit, 0, _id, payload);
    }

    private void DropUnreadData()
    {
        if (!_lent)
        {
            _data.Clear();
        }
    }

    private void ResetReading()
    {
        _data.Clear();
        _outstanding = 0;
        _consumed = 0;
        _receivedEnd = false;
        _direct = default;
        _directCount = 0;
    }
}
