using System.Buffers;
using System.Buffers.Binary;

namespace OpenSandbox.VirtioSerial;

/// <summary>Writes whole frames. Static and stateless.</summary>
public static class FrameWriter
{
    /// <summary>Writes one frame with a ready payload.</summary>
    /// <param name="output">Where to; gets exactly the frame's bytes, in one span.</param>
    /// <param name="type">The frame's type.</param>
    /// <param name="flags">The channel of a Data frame, otherwise 0.</param>
    /// <param name="streamId">The stream; 0 for the session.</param>
    /// <param name="sessionTag">The session's tag.</param>
    /// <param name="payload">At most <see cref="ProtocolConstants.MaxPayloadSize"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">The payload is too long.</exception>
    public static void Write(
        IBufferWriter<byte> output, FrameType type, byte flags, uint streamId, uint sessionTag, ReadOnlySpan<byte> payload)
    {
        ArgumentNullException.ThrowIfNull(output);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(payload.Length, ProtocolConstants.MaxPayloadSize, nameof(payload));
        int size = ProtocolConstants.HeaderSize + payload.Length + ProtocolConstants.TrailerSize;
        Span<byte> frame = output.GetSpan(size)[..size];
        payload.CopyTo(frame[ProtocolConstants.HeaderSize..]);
        Seal(frame, type, flags, streamId, sessionTag, payload.Length);
        output.Advance(size);
    }

    /// <summary>Puts header and trailer around a payload that already lies at offset 16 of <paramref name="frame"/>.</summary>
    /// <param name="frame">At least 20 bytes plus the payload.</param>
    /// <param name="type">The frame's type.</param>
    /// <param name="flags">The channel of a Data frame, otherwise 0.</param>
    /// <param name="streamId">The stream; 0 for the session.</param>
    /// <param name="sessionTag">The session's tag.</param>
    /// <param name="payloadLength">Bytes of payload.</param>
    /// <returns>The frame's size on the wire, bytes.</returns>
    public static int Seal(Span<byte> frame, FrameType type, byte flags, uint streamId, uint sessionTag, int payloadLength)
    {
        var header = new FrameHeader(type, flags, streamId, sessionTag, payloadLength);
        header.Write(frame);
        BinaryPrimitives.WriteUInt32LittleEndian(frame[(ProtocolConstants.HeaderSize + payloadLength)..], ~sessionTag);
        return header.FrameSize;
    }
}
