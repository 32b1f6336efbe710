using System.Buffers;
using System.Buffers.Binary;

namespace OpenSandbox.VirtioSerial;

/// <summary>
/// Received Data of one stream, in order, waiting for its reader. Bytes are copied once, into rented segments, in runs of one channel:
/// <code>
///  0                    4                4+n
///  +--------------------+-----------------+----
///  | n u24, channel u8  | n bytes         | next run ...
///  +--------------------+-----------------+----
/// </code>
/// A frame extends the last run where it can. So the memory is bounded by the window even against a guest that sends single bytes and changes
/// the channel each time (5 bytes for each one); slices of the receive buffer would let such a guest pin 20 times as much.
/// Not thread-safe: the stream's lock is held.
/// </summary>
internal sealed class DataQueue
{
    private const int RunHeaderSize = sizeof(int);
    private const int LengthMask = 0xFF_FFFF;
    private const int ChannelShift = 24;
    private const int MinSegmentSize = 4_096;
    private const int MaxSegmentSize = 65_536;

    /// <summary>Less room than this at the end of a segment is left unused rather than filled with a tiny run.</summary>
    private const int MinRun = 64;

    private DataSegment? _head;
    private DataSegment? _tail;
    private DataSegment? _spare;
    private int _lastRun;
    private int _runConsumed;
    private int _nextSegmentSize = MinSegmentSize;

    /// <summary>Whether nothing is queued.</summary>
    internal bool IsEmpty => _head is null;

    /// <summary>Copies a payload to the end.</summary>
    internal void Append(DataChannel channel, in ReadOnlySequence<byte> payload)
    {
        foreach (ReadOnlyMemory<byte> part in payload)
        {
            Append(channel, part.Span);
        }
    }

    /// <summary>Copies bytes to the end.</summary>
    internal void Append(DataChannel channel, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            if (_tail is { Room: > 0 } tail && Channel(tail, _lastRun) == channel)
            {
                int extended = Math.Min(tail.Room, bytes.Length);
                bytes[..extended].CopyTo(tail.Bytes.AsSpan(tail.End));
                tail.End += extended;
                WriteRun(tail, _lastRun, channel, Length(tail, _lastRun) + extended);
                bytes = bytes[extended..];
                continue;
            }

            if (_tail is null || _tail.Room < RunHeaderSize + Math.Min(bytes.Length, MinRun))
            {
                AddSegment(bytes.Length);
            }

            DataSegment segment = _tail!;
            int count = Math.Min(segment.Room - RunHeaderSize, bytes.Length);
            _lastRun = segment.End;
            WriteRun(segment, _lastRun, channel, count);
            bytes[..count].CopyTo(segment.Bytes.AsSpan(_lastRun + RunHeaderSize));
            segment.End = _lastRun + RunHeaderSize + count;
            bytes = bytes[count..];
        }
    }

    /// <summary>The oldest bytes, as far as they are of one channel and contiguous. They stay valid until consumed.</summary>
    internal bool TryPeek(out DataChannel channel, out ReadOnlyMemory<byte> bytes)
    {
        if (_head is null)
        {
            channel = default;
            bytes = default;
            return false;
        }

        channel = Channel(_head, _head.Start);
        bytes = _head.Bytes.AsMemory(_head.Start + RunHeaderSize + _runConsumed, Length(_head, _head.Start) - _runConsumed);
        return true;
    }

    /// <summary>Drops the oldest <paramref name="count"/> bytes, no more than <see cref="TryPeek"/> showed.</summary>
    internal void Consume(int count)
    {
        DataSegment head = _head!;
        _runConsumed += count;
        int length = Length(head, head.Start);
        if (_runConsumed < length)
        {
            return;
        }

        head.Start += RunHeaderSize + length;
        _runConsumed = 0;
        if (head.Start == head.End)
        {
            _head = head.Next;
            if (_head is null)
            {
                _tail = null;
                _nextSegmentSize = MinSegmentSize;
            }

            Release(head);
        }
    }

    /// <summary>Drops everything.</summary>
    internal void Clear()
    {
        while (_head is { } head)
        {
            _head = head.Next;
            Release(head);
        }

        _tail = null;
        _runConsumed = 0;
        _nextSegmentSize = MinSegmentSize;
    }

    private void AddSegment(int wanted)
    {
        DataSegment segment = _spare ?? new DataSegment();
        _spare = null;
        segment.Rent(Math.Clamp(wanted + RunHeaderSize, _nextSegmentSize, MaxSegmentSize));
        _nextSegmentSize = Math.Min(2 * _nextSegmentSize, MaxSegmentSize);
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

    private void Release(DataSegment segment)
    {
        segment.Return();
        _spare = segment;
    }

    private static void WriteRun(DataSegment segment, int offset, DataChannel channel, int length) =>
        BinaryPrimitives.WriteInt32LittleEndian(segment.Bytes.AsSpan(offset), ((int)channel << ChannelShift) | length);

    private static DataChannel Channel(DataSegment segment, int offset) =>
        (DataChannel)(BinaryPrimitives.ReadInt32LittleEndian(segment.Bytes.AsSpan(offset)) >> ChannelShift);

    private static int Length(DataSegment segment, int offset) =>
        BinaryPrimitives.ReadInt32LittleEndian(segment.Bytes.AsSpan(offset)) & LengthMask;
}
