using System.Buffers;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>A frame of a generated case, comparable by content.</summary>
internal sealed record SomeFrame(FrameType Type, byte Flags, uint StreamId, byte[] Payload)
{
    internal int Size => ProtocolConstants.HeaderSize + Payload.Length + ProtocolConstants.TrailerSize;

    private bool IsSessionFrame => Type is FrameType.Hello or FrameType.Welcome or FrameType.Ping or FrameType.Pong
        or FrameType.Quiesce or FrameType.Quiesced or FrameType.Thaw or FrameType.Thawed;

    /// <summary>Whether a reader may hand this out.</summary>
    internal bool IsWellFormed =>
        Enum.IsDefined(Type) && Payload.Length <= ProtocolConstants.MaxPayloadSize && IsSessionFrame == (StreamId == 0);

    /// <summary>Bends arbitrary parts into a frame that keeps the rules.</summary>
    internal static SomeFrame Of(FrameType type, int flags, uint streamId, byte[] payload)
    {
        var frame = new SomeFrame(type, 0, streamId, payload);
        byte[] fitting = type switch
        {
            FrameType.Ping or FrameType.Pong => payload[..Math.Min(payload.Length, ProtocolConstants.MaxPingSize)],
            FrameType.Credit => [1, 2, 3, 4],
            FrameType.End or FrameType.Cancel => [],
            _ => payload.Length >= 2 ? payload : [(byte)'{', (byte)'}'],
        };
        byte fittingFlags = type switch
        {
            FrameType.Data => (byte)flags,
            FrameType.Open => (byte)(flags & 1),
            _ => 0,
        };
        return frame with { StreamId = frame.IsSessionFrame ? 0 : streamId, Payload = fitting, Flags = fittingFlags };
    }

    internal byte[] ToBytes(uint tag)
    {
        var output = new ArrayBufferWriter<byte>(Size);
        FrameWriter.Write(output, Type, Flags, StreamId, tag, Payload);
        return output.WrittenSpan.ToArray();
    }

    public bool Equals(SomeFrame? other) =>
        other is not null && Type == other.Type && Flags == other.Flags && StreamId == other.StreamId && Payload.AsSpan().SequenceEqual(other.Payload);

    public override int GetHashCode() => HashCode.Combine(Type, Flags, StreamId, Payload.Length);
}
