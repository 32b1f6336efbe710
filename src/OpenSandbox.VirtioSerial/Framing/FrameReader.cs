using System.Buffers;
using System.Buffers.Binary;

namespace OpenSandbox.VirtioSerial;

/// <summary>Takes frames off a buffer. Static and stateless: all state is the buffer and the session tag.</summary>
public static class FrameReader
{
    /// <summary>Takes the next frame off <paramref name="buffer"/>, if it is all there.</summary>
    /// <param name="buffer">Received bytes; moved past the frame when the result is <see cref="FrameReadStatus.Frame"/>.</param>
    /// <param name="sessionTag">The tag that the session uses.</param>
    /// <param name="header">The frame's header.</param>
    /// <param name="payload">A slice of <paramref name="buffer"/>: dead once the buffer is advanced.</param>
    /// <param name="error">Why, when the result is <see cref="FrameReadStatus.Invalid"/>.</param>
    /// <returns>Whether there was a frame, more bytes are needed, or the peer broke a rule.</returns>
    /// <remarks>Size and type are judged from the header alone, so a caller never buffers more than one whole frame.</remarks>
    public static FrameReadStatus TryRead(
        ref ReadOnlySequence<byte> buffer, uint sessionTag, out FrameHeader header, out ReadOnlySequence<byte> payload, out FrameError error)
    {
        header = default;
        payload = default;
        error = FrameError.None;
        if (buffer.Length < ProtocolConstants.HeaderSize)
        {
            return FrameReadStatus.NeedMoreData;
        }

        Span<byte> scratch = stackalloc byte[ProtocolConstants.HeaderSize];
        ReadOnlySpan<byte> head = Peek(buffer, scratch);
        error = FrameHeader.TryRead(head, sessionTag, out header);
        if (error != FrameError.None)
        {
            return FrameReadStatus.Invalid;
        }

        if (buffer.Length < header.FrameSize)
        {
            return FrameReadStatus.NeedMoreData;
        }

        ReadOnlySpan<byte> trailer = Peek(
            buffer.Slice(ProtocolConstants.HeaderSize + header.PayloadLength), scratch[..ProtocolConstants.TrailerSize]);
        if (BinaryPrimitives.ReadUInt32LittleEndian(trailer) != ~sessionTag)
        {
            error = FrameError.BadTrailer;
            return FrameReadStatus.Invalid;
        }

        payload = buffer.Slice(ProtocolConstants.HeaderSize, header.PayloadLength);
        buffer = buffer.Slice(header.FrameSize);
        return FrameReadStatus.Frame;
    }

    /// <summary>The first bytes of a sequence: in place where they are contiguous, else copied to <paramref name="scratch"/>.</summary>
    private static ReadOnlySpan<byte> Peek(in ReadOnlySequence<byte> buffer, Span<byte> scratch)
    {
        ReadOnlySpan<byte> first = buffer.FirstSpan;
        if (first.Length >= scratch.Length)
        {
            return first[..scratch.Length];
        }

        buffer.Slice(0, scratch.Length).CopyTo(scratch);
        return scratch;
    }
}
