using System.Buffers.Binary;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// The last output of a process, with channel and sequence number of every byte: a list of chunks, each with runs of one channel.
/// <code>
///  0                    4                4+n
///  +--------------------+-----------------+----
///  | n u24, channel u8  | n bytes         | next run ...
///  +--------------------+-----------------+----
/// </code>
/// New output takes further chunks up to the ring's bound, and then the oldest one. Not thread-safe.
/// </summary>
internal sealed class ScrollbackRing
{
    private const int RunHeader = sizeof(uint);
    private const int LengthMask = 0xFF_FFFF;
    private const int ChannelShift = 24;

    /// <summary>Less room than this at the end of a chunk is left unused rather than filled with a tiny run.</summary>
    private const int MinRun = 64;

    private readonly RingMemory _memory;
    private readonly int _maxChunks;
    private RingChunk? _head;
    private RingChunk? _tail;
    private int _count;
    private int _reserved = -1;
    private DataChannel _reservedChannel;

    /// <summary>Makes an empty ring, which takes memory only as output comes.</summary>
    /// <param name="memory">Where from.</param>
    /// <param name="capacity">Bytes to keep, the four for each change of the channel included. It keeps up to one chunk more.</param>
    internal ScrollbackRing(RingMemory memory, int capacity)
    {
        _memory = memory;
        _maxChunks = Math.Max(RingMemory.GuaranteedChunks, ((capacity + RingChunk.Size - 1) / RingChunk.Size) + 1);
    }

    /// <summary>Sequence number of the oldest byte.</summary>
    internal long First => _head?.FirstSequence ?? End;

    /// <summary>Sequence number of the next byte to come.</summary>
    internal long End { get; private set; }

    /// <summary>Whether <see cref="Reserve"/> gives room.</summary>
    /// <param name="hold">Nothing from this sequence number on may be overwritten.</param>
    internal bool HasRoom(long hold) =>
        (_tail is not null && RingChunk.Size - _tail.End >= RunHeader + MinRun) || MayGrow || MayRecycle(hold);

    /// <summary>Where the next bytes can be put: nothing if that would overwrite what is held.</summary>
    /// <param name="channel">Their channel.</param>
    /// <param name="hold">Nothing from this sequence number on may be overwritten.</param>
    internal Span<byte> Reserve(DataChannel channel, long hold)
    {
        _reservedChannel = channel;
        if (_tail is { LastRun: >= 0 } same && same.End < RingChunk.Size && Channel(same, same.LastRun) == channel)
        {
            _reserved = same.End;
            return same.Bytes[same.End..];
        }

        if ((_tail is null || RingChunk.Size - _tail.End < RunHeader + MinRun) && !AddChunk(hold))
        {
            return default;
        }

        _reserved = _tail!.End + RunHeader;
        return _tail.Bytes[_reserved..];
    }

    /// <summary>Takes in what was put into the room of the last <see cref="Reserve"/>.</summary>
    /// <param name="count">Bytes; 0: none after all.</param>
    internal void Commit(int count)
    {
        RingChunk tail = _tail ?? throw new InvalidOperationException("nothing is reserved");
        if (count > 0)
        {
            if (_reserved != tail.End)
            {
                tail.LastRun = tail.End;
                WriteRun(tail, tail.LastRun, _reservedChannel, 0);
            }

            WriteRun(tail, tail.LastRun, _reservedChannel, Length(tail, tail.LastRun) + count);
            tail.End = _reserved + count;
            End += count;
        }

        _reserved = -1;
    }

    /// <summary>The bytes at a cursor, as far as they are of one channel and lie in one piece; empty at the end. They stay where they are
    /// until the next <see cref="Reserve"/>.</summary>
    /// <param name="cursor">Not before <see cref="First"/>.</param>
    /// <param name="channel">Their channel.</param>
    internal ReadOnlySpan<byte> Peek(RingCursor cursor, out DataChannel channel)
    {
        channel = default;
        if (cursor.Sequence >= End || !Find(cursor))
        {
            return default;
        }

        RingChunk chunk = cursor.Chunk!;
        while (cursor.Consumed == Length(chunk, cursor.Run))
        {
            int next = cursor.Run + RunHeader + cursor.Consumed;
            if (next == chunk.End)
            {
                chunk = chunk.Next!; // there is one, as the end is not reached
                cursor.Chunk = chunk;
                cursor.Serial = chunk.Serial;
                next = 0;
            }

            cursor.Run = next;
            cursor.Consumed = 0;
        }

        channel = Channel(chunk, cursor.Run);
        return chunk.Bytes.Slice(cursor.Run + RunHeader + cursor.Consumed, Length(chunk, cursor.Run) - cursor.Consumed);
    }

    /// <summary>Moves a cursor past bytes that <see cref="Peek"/> showed.</summary>
    internal static void Advance(RingCursor cursor, int count)
    {
        cursor.Consumed += count;
        cursor.Sequence += count;
    }

    /// <summary>Gives the memory back. Only for a ring that nobody reads any more.</summary>
    internal void Free()
    {
        _memory.Return(_head);
        _head = _tail = null;
        _count = 0;
    }

    private bool MayGrow => _count < _maxChunks && _memory.MayTake(_count);

    private bool MayRecycle(long hold) => _head is not null && (_head.Next?.FirstSequence ?? End) <= hold;

    private bool AddChunk(long hold)
    {
        RingChunk chunk;
        if (MayGrow)
        {
            chunk = _memory.Take(_count++, End);
        }
        else if (MayRecycle(hold))
        {
            chunk = _head!;
            _head = chunk.Next;
            _memory.Begin(chunk, End);
        }
        else
        {
            return false;
        }

        if (_head is null)
        {
            _head = chunk;
        }
        else
        {
            _tail!.Next = chunk;
        }

        _tail = chunk;
        return true;
    }

    /// <summary>Makes a cursor's chunk and run those of its sequence number, unless they are.</summary>
    private bool Find(RingCursor cursor)
    {
        if (cursor.Chunk is { } known && known.Serial == cursor.Serial)
        {
            return true;
        }

        RingChunk? chunk = _head;
        while (chunk?.Next is { } next && next.FirstSequence <= cursor.Sequence)
        {
            chunk = next;
        }

        if (chunk is null || chunk.FirstSequence > cursor.Sequence)
        {
            return false;
        }

        cursor.Chunk = chunk;
        cursor.Serial = chunk.Serial;
        cursor.Run = 0;
        long skip = cursor.Sequence - chunk.FirstSequence;
        while (skip > Length(chunk, cursor.Run))
        {
            int length = Length(chunk, cursor.Run);
            skip -= length;
            cursor.Run += RunHeader + length;
        }

        cursor.Consumed = (int)skip;
        return true;
    }

    private static void WriteRun(RingChunk chunk, int offset, DataChannel channel, int length) =>
        BinaryPrimitives.WriteInt32LittleEndian(chunk.Bytes[offset..], ((int)channel << ChannelShift) | length);

    private static DataChannel Channel(RingChunk chunk, int offset) =>
        (DataChannel)(BinaryPrimitives.ReadInt32LittleEndian(chunk.Bytes[offset..]) >> ChannelShift);

    private static int Length(RingChunk chunk, int offset) => BinaryPrimitives.ReadInt32LittleEndian(chunk.Bytes[offset..]) & LengthMask;
}
