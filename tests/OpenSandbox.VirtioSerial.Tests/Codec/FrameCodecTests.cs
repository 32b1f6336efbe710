using System.Buffers;
using System.Buffers.Binary;

namespace OpenSandbox.VirtioSerial.Tests;

public sealed class FrameCodecTests
{
    private const uint Tag = 0xCAFE_F00D;

    public static TheoryData<FrameType, byte, uint, int, FrameError> Headers => new()
    {
        { FrameType.Hello, 0, 0, 2, FrameError.None },
        { FrameType.Hello, 0, 1, 2, FrameError.WrongStream },
        { FrameType.Hello, 0, 0, 1, FrameError.WrongLength },
        { FrameType.Welcome, 0, 0, 16, FrameError.None },
        { FrameType.Ping, 0, 0, 0, FrameError.None },
        { FrameType.Ping, 0, 0, 64, FrameError.None },
        { FrameType.Ping, 0, 0, 65, FrameError.WrongLength },
        { FrameType.Pong, 0, 0, 65, FrameError.WrongLength },
        { FrameType.Pong, 0, 5, 8, FrameError.WrongStream },
        { FrameType.Open, 0, 1, 2, FrameError.None },
        { FrameType.Open, 1, 1, 1, FrameError.None },
        { FrameType.Open, 1, 1, 0, FrameError.WrongLength },
        { FrameType.Open, 2, 1, 2, FrameError.ReservedBits },
        { FrameType.Open, 0, 0, 2, FrameError.WrongStream },
        { FrameType.Started, 0, 1, 2, FrameError.None },
        { FrameType.Started, 1, 1, 2, FrameError.ReservedBits },
        { FrameType.Data, 0, 1, 1, FrameError.None },
        { FrameType.Data, 2, 0xFFFF_FFFF, ProtocolConstants.MaxPayloadSize, FrameError.None },
        { FrameType.Data, 4, 1, 1, FrameError.None },
        { FrameType.Data, 5, 1, 1, FrameError.ReservedBits },
        { FrameType.Data, 0, 1, 0, FrameError.WrongLength },
        { FrameType.Data, 0, 1, ProtocolConstants.MaxPayloadSize + 1, FrameError.Oversize },
        { FrameType.Data, 0, 1, int.MaxValue, FrameError.Oversize },
        { FrameType.Data, 0, 1, -1, FrameError.Oversize },
        { FrameType.Data, 0, 0, 1, FrameError.WrongStream },
        { FrameType.Credit, 0, 1, 4, FrameError.None },
        { FrameType.Credit, 0, 1, 3, FrameError.WrongLength },
        { FrameType.Credit, 0, 1, 5, FrameError.WrongLength },
        { FrameType.End, 0, 1, 0, FrameError.None },
        { FrameType.End, 0, 1, 1, FrameError.WrongLength },
        { FrameType.Result, 0, 1, 2, FrameError.None },
        { FrameType.Error, 0, 1, 1, FrameError.WrongLength },
        { FrameType.Cancel, 0, 1, 0, FrameError.None },
        { FrameType.Cancel, 0, 1, 4, FrameError.WrongLength },
        { FrameType.Signal, 0, 1, 12, FrameError.None },
        { FrameType.Quiesce, 0, 0, 2, FrameError.None },
        { FrameType.Quiesced, 0, 0, 2, FrameError.None },
        { FrameType.Quiesced, 0, 2, 2, FrameError.WrongStream },
        { (FrameType)0, 0, 0, 0, FrameError.UnknownType },
        { FrameType.Thaw, 0, 0, 2, FrameError.None },
        { FrameType.Thaw, 0, 1, 2, FrameError.WrongStream },
        { FrameType.Thaw, 1, 0, 2, FrameError.ReservedBits },
        { FrameType.Thawed, 0, 0, 2, FrameError.None },
        { FrameType.Thawed, 0, 0, 1, FrameError.WrongLength },
        { (FrameType)18, 0, 1, 0, FrameError.UnknownType },
        { (FrameType)255, 0, 1, 0, FrameError.UnknownType },
    };

    [Theory]
    [MemberData(nameof(Headers))]
    public void TryRead_Header_IsJudgedByItsSixteenBytesAlone(FrameType type, byte flags, uint streamId, int length, FrameError expected)
    {
        var bytes = new byte[ProtocolConstants.HeaderSize];
        new FrameHeader(type, flags, streamId, Tag, length).Write(bytes);

        Assert.Equal(expected, FrameHeader.TryRead(bytes, Tag, out FrameHeader header));
        if (expected == FrameError.None)
        {
            Assert.Equal(new FrameHeader(type, flags, streamId, Tag, length), header);
        }

        var buffer = new ReadOnlySequence<byte>(bytes);
        FrameReadStatus status = FrameReader.TryRead(ref buffer, Tag, out _, out _, out FrameError error);
        Assert.Equal(expected, error);
        Assert.Equal(expected == FrameError.None ? FrameReadStatus.NeedMoreData : FrameReadStatus.Invalid, status);
    }

    [Theory]
    [InlineData(2, 1, FrameError.ReservedBits)]
    [InlineData(3, 0x80, FrameError.ReservedBits)]
    [InlineData(8, 1, FrameError.WrongSession)]
    [InlineData(11, 0x80, FrameError.WrongSession)]
    [InlineData(19, 1, FrameError.BadTrailer)]
    [InlineData(22, 0x80, FrameError.BadTrailer)]
    public void TryRead_OneBitFlipped_IsInvalid(int offset, byte mask, FrameError expected)
    {
        byte[] frame = Frame(FrameType.Data, 1, "abc"u8);
        frame[offset] ^= mask;
        var buffer = new ReadOnlySequence<byte>(frame);

        Assert.Equal(FrameReadStatus.Invalid, FrameReader.TryRead(ref buffer, Tag, out _, out _, out FrameError error));
        Assert.Equal(expected, error);
        Assert.Equal(frame.Length, buffer.Length);
    }

    [Fact]
    public void TryRead_FewerBytesThanAHeader_NeedsMore()
    {
        byte[] frame = Frame(FrameType.End, 1, default);
        for (int length = 0; length < frame.Length; length++)
        {
            var buffer = new ReadOnlySequence<byte>(frame, 0, length);
            Assert.Equal(FrameReadStatus.NeedMoreData, FrameReader.TryRead(ref buffer, Tag, out _, out _, out _));
            Assert.Equal(length, buffer.Length);
        }

        Assert.Equal(FrameError.Truncated, FrameHeader.TryRead(frame.AsSpan(0, 15), Tag, out _));
    }

    [Fact]
    public void Write_PayloadOfTheLargestSize_MakesAFrameOfTheLargestSize()
    {
        Assert.Equal(ProtocolConstants.MaxFrameSize, Frame(FrameType.Data, 1, new byte[ProtocolConstants.MaxPayloadSize]).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => Frame(FrameType.Data, 1, new byte[ProtocolConstants.MaxPayloadSize + 1]));
    }

    [Theory]
    [InlineData(0x0000_0001_0000_0001, true)]
    [InlineData(0x0000_0001_0000_0000, false)]
    [InlineData(0x0000_0000_FFFF_FFFF, false)]
    [InlineData(0x0000_0000_FFFF_FFFE, true)]
    public void TryRead_Preamble_RefusesTagsOfAllZeroesOrOnes(ulong epoch, bool valid)
    {
        var bytes = new byte[ProtocolConstants.PreambleSize];
        new Preamble(epoch, 3).Write(bytes);

        Assert.Equal(valid, Preamble.IsValidEpoch(epoch));
        Assert.Equal(valid, Preamble.TryRead(bytes, out Preamble preamble));
        Assert.Equal(valid ? new Preamble(epoch, 3) : default, preamble);
    }

    [Fact]
    public void TryRead_PreambleWithAWrongCheck_IsNone()
    {
        var bytes = new byte[ProtocolConstants.PreambleSize];
        new Preamble(77, 1).Write(bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(28), 77);
        Assert.False(Preamble.TryRead(bytes, out _));
        Assert.False(Preamble.TryRead(bytes.AsSpan(0, 31), out _));
    }

    [Fact]
    public void TryFind_PreambleOfAnotherEpoch_IsPassedOver()
    {
        var bytes = new byte[3 * ProtocolConstants.PreambleSize];
        new Preamble(1, 1).Write(bytes);
        new Preamble(2, 1).Write(bytes.AsSpan(32));
        new Preamble(3, 1).Write(bytes.AsSpan(64));
        var buffer = new ReadOnlySequence<byte>(bytes);

        Assert.True(Preamble.TryFind(ref buffer, 2, out Preamble preamble));
        Assert.Equal(2u, preamble.Epoch);
        Assert.Equal(32, buffer.Length);
    }

    private static byte[] Frame(FrameType type, uint streamId, ReadOnlySpan<byte> payload)
    {
        var output = new ArrayBufferWriter<byte>();
        FrameWriter.Write(output, type, 0, streamId, Tag, payload);
        return output.WrittenSpan.ToArray();
    }
}
