using System.Buffers.Binary;

namespace OpenSandbox.VirtioSerial;

/// <summary>
/// The 16 bytes ahead of every payload, little-endian:
/// <code>
///  0      1      2             4                8               12              16
///  +------+------+-------------+----------------+---------------+---------------+
///  | type | flags| 0 (u16)     | stream id u32  | session tag   | payload n u32 |
///  +------+------+-------------+----------------+---------------+---------------+
/// </code>
/// </summary>
/// <param name="Type">What the frame is.</param>
/// <param name="Flags">
/// The <see cref="DataChannel"/> of a Data frame; <see cref="ProtocolConstants.ContinuedFlag"/> or 0 on Open; otherwise 0.
/// </param>
/// <param name="StreamId">The stream; 0 for the session itself.</param>
/// <param name="SessionTag">Low half of the session's epoch.</param>
/// <param name="PayloadLength">Bytes of payload, 0 to <see cref="ProtocolConstants.MaxPayloadSize"/>.</param>
public readonly record struct FrameHeader(FrameType Type, byte Flags, uint StreamId, uint SessionTag, int PayloadLength)
{
    private const int TypeOffset = 0;
    private const int FlagsOffset = 1;
    private const int ReservedOffset = 2;
    private const int StreamIdOffset = 4;
    private const int SessionTagOffset = 8;
    private const int LengthOffset = 12;

    /// <summary>Size of the whole frame on the wire, bytes.</summary>
    public int FrameSize => ProtocolConstants.HeaderSize + PayloadLength + ProtocolConstants.TrailerSize;

    /// <summary>Writes the header to the first 16 bytes of <paramref name="destination"/>.</summary>
    /// <param name="destination">At least <see cref="ProtocolConstants.HeaderSize"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        destination[TypeOffset] = (byte)Type;
        destination[FlagsOffset] = Flags;
        BinaryPrimitives.WriteUInt16LittleEndian(destination[ReservedOffset..], 0);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[StreamIdOffset..], StreamId);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[SessionTagOffset..], SessionTag);
        BinaryPrimitives.WriteInt32LittleEndian(destination[LengthOffset..], PayloadLength);
    }

    /// <summary>Reads a header and checks everything that can be checked without the payload.</summary>
    /// <param name="source">At least <see cref="ProtocolConstants.HeaderSize"/> bytes.</param>
    /// <param name="sessionTag">The tag that the session uses.</param>
    /// <param name="header">The header, when the result is <see cref="FrameError.None"/>.</param>
    /// <returns>The first rule that the header breaks, or <see cref="FrameError.None"/>.</returns>
    public static FrameError TryRead(ReadOnlySpan<byte> source, uint sessionTag, out FrameHeader header)
    {
        header = default;
        if (source.Length < ProtocolConstants.HeaderSize)
        {
            return FrameError.Truncated;
        }

        uint length = BinaryPrimitives.ReadUInt32LittleEndian(source[LengthOffset..]);
        var type = (FrameType)source[TypeOffset];
        byte flags = source[FlagsOffset];
        if (type is < FrameType.Hello or > FrameType.Thawed)
        {
            return FrameError.UnknownType;
        }

        if (length > ProtocolConstants.MaxPayloadSize)
        {
            return FrameError.Oversize;
        }

        uint tag = BinaryPrimitives.ReadUInt32LittleEndian(source[SessionTagOffset..]);
        if (tag != sessionTag)
        {
            return FrameError.WrongSession;
        }

        if (BinaryPrimitives.ReadUInt16LittleEndian(source[ReservedOffset..]) != 0
            || flags > MaxFlags(type))
        {
            return FrameError.ReservedBits;
        }

        header = new FrameHeader(type, flags, BinaryPrimitives.ReadUInt32LittleEndian(source[StreamIdOffset..]), tag, (int)length);
        return header.CheckShape();
    }

    private static byte MaxFlags(FrameType type) => type switch
    {
        FrameType.Data => (byte)DataChannel.Report,
        FrameType.Open => ProtocolConstants.ContinuedFlag,
        _ => 0,
    };

    /// <summary>Rules between type, stream and length.</summary>
    private FrameError CheckShape()
    {
        bool sessionFrame = Type is FrameType.Hello or FrameType.Welcome or FrameType.Ping or FrameType.Pong
            or FrameType.Quiesce or FrameType.Quiesced or FrameType.Thaw or FrameType.Thawed;
        if (sessionFrame != (StreamId == 0))
        {
            return FrameError.WrongStream;
        }

        bool fits = Type switch
        {
            FrameType.Ping or FrameType.Pong => PayloadLength <= ProtocolConstants.MaxPingSize,
            FrameType.Credit => PayloadLength == sizeof(uint),
            FrameType.End or FrameType.Cancel => PayloadLength == 0,
            FrameType.Data or FrameType.Open => PayloadLength > 0,
            _ => PayloadLength >= 2, // JSON: at least "{}"
        };
        return fits ? FrameError.None : FrameError.WrongLength;
    }
}
