using System.Buffers;

namespace OpenSandbox.Qmp.Protocol;

/// <summary>Cuts a byte stream into lines. A line that is too long is refused as soon as that is known, not once it has been buffered.</summary>
internal struct LineSplitter(int maxLineBytes)
{
    /// <summary>Bytes at the start of the buffer known to hold no line end: a line that trickles in is searched once, not once per byte.</summary>
    private long _searched;

    /// <summary>Takes the next whole line off <paramref name="buffer"/>.</summary>
    /// <param name="buffer">Received and not yet taken bytes: on each call what the last one left, plus what came since.</param>
    /// <param name="line">The line without its line feed: a slice, dead once the buffer is advanced.</param>
    /// <returns>False when more bytes are needed.</returns>
    /// <exception cref="QmpProtocolException">The line is longer than the limit.</exception>
    internal bool TryTake(ref ReadOnlySequence<byte> buffer, out ReadOnlySequence<byte> line)
    {
        SequencePosition? end = buffer.Slice(_searched).PositionOf((byte)'\n');
        if (end is null)
        {
            _searched = buffer.Length;
            ThrowIfTooLong(_searched);
            line = default;
            return false;
        }

        line = buffer.Slice(0, end.Value);
        ThrowIfTooLong(line.Length);
        buffer = buffer.Slice(buffer.GetPosition(1, end.Value));
        _searched = 0;
        return true;
    }

    private readonly void ThrowIfTooLong(long length)
    {
        if (length > maxLineBytes)
        {
            throw new QmpProtocolException($"QEMU sent a line of more than {maxLineBytes} bytes");
        }
    }
}
