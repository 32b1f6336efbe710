using System.Buffers;
using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>What must hold for any bytes at all: the guest writes them.</summary>
public sealed class FrameProperties
{
    private const uint Tag = 0x0BAD_CAFE;
    private const ulong Epoch = 0x1111_2222_0000_0000 | Tag;

    private static readonly byte[] s_padding = new byte[ProtocolConstants.ReconnectPaddingSize];

    /// <summary>Frames that are all right.</summary>
    private static readonly Gen<SomeFrame> s_frame =
        from type in Gen.Choose((int)FrameType.Hello, (int)FrameType.Thawed).Select(value => (FrameType)value)
        from flags in Gen.Choose(0, 2)
        from stream in Gen.Frequency(
            (3, Gen.Choose(1, 100).Select(value => (uint)value)), (1, Gen.Elements(0x7FFF_FFFFu, 0x8000_0000u, 0xFFFF_FFFFu)))
        from payload in Cases.Bytes
        select SomeFrame.Of(type, flags, stream, payload);

    private static readonly Gen<SomeFrame[]> s_frames = s_frame.ArrayOf(4);

    [Fact]
    public void Frames_WrittenAndCutAnywhere_AreReadBack() => Cases.ForAll(
        from frames in s_frames from cuts in Cases.Cuts select (frames, cuts),
        c =>
        {
            ReadOnlySequence<byte> buffer = Sequences.Cut(Bytes(c.frames), c.cuts);
            return ReadAll(ref buffer, out FrameError error).SequenceEqual(c.frames) && error == FrameError.None && buffer.IsEmpty;
        });

    [Fact]
    public void Frames_DeliveredPieceByPiece_AreReadBackAndNeverMoreThanOneIsKept() => Cases.ForAll(
        from frames in s_frames from cuts in Cases.Cuts select (frames, cuts),
        c =>
        {
            var read = new List<SomeFrame>();
            ReadOnlyMemory<byte> kept = default;
            foreach (ReadOnlyMemory<byte> piece in Sequences.Pieces(Bytes(c.frames), c.cuts))
            {
                ReadOnlySequence<byte> buffer = Sequences.Of(kept, piece);
                read.AddRange(ReadAll(ref buffer, out FrameError error));
                kept = buffer.ToArray();
                if (error != FrameError.None || kept.Length >= ProtocolConstants.MaxFrameSize)
                {
                    return false;
                }
            }

            return read.SequenceEqual(c.frames) && kept.IsEmpty;
        });

    [Fact]
    public void Frames_CutShort_GiveTheWholeOnesAndAskForMore() => Cases.ForAll(
        from frames in s_frames from cut in Gen.Choose(0, 100_000) select (frames, cut),
        c =>
        {
            byte[] bytes = Bytes(c.frames);
            byte[] head = bytes[..(c.cut % (bytes.Length + 1))];
            var buffer = new ReadOnlySequence<byte>(head);
            SomeFrame[] read = ReadAll(ref buffer, out FrameError error);
            return error == FrameError.None && c.frames.Take(read.Length).SequenceEqual(read)
                && head.Length - buffer.Length == read.Sum(frame => frame.Size);
        });

    [Fact]
    public void Frames_WithBytesChanged_NeverBreakTheReader() => Cases.ForAll(
        from frames in s_frames
        from changes in Gen.Choose(0, int.MaxValue).ArrayOf(3)
        from cuts in Cases.Cuts
        select (frames, changes, cuts),
        c =>
        {
            byte[] bytes = Bytes(c.frames);
            foreach (int change in c.changes)
            {
                // Mostly in the first header: further back, the payload swallows them.
                bytes[(change >> 8) % ((change & 0x100) == 0 ? Math.Min(16, bytes.Length) : bytes.Length)] ^= (byte)change;
            }

            ReadOnlySequence<byte> buffer = Sequences.Cut(bytes, c.cuts);
            return ReadAll(ref buffer, out _).All(frame => frame.IsWellFormed) && buffer.Length <= bytes.Length;
        });

    [Fact]
    public void AnyBytes_AsFrames_NeverBreakTheReader() => Cases.ForAll(
        from bytes in Cases.Bytes from cuts in Cases.Cuts select (bytes, cuts),
        c =>
        {
            ReadOnlySequence<byte> buffer = Sequences.Cut(c.bytes, c.cuts);
            return ReadAll(ref buffer, out _).All(frame => frame.IsWellFormed);
        });

    [Fact]
    public void AnyHeader_ThatIsAccepted_IsBoundedAndWritesTheSameBytes() => Cases.ForAll(
        from type in Gen.Choose(0, 22)
        from flags in Gen.Choose(0, 4)
        from reserved in Gen.Frequency((5, Gen.Constant(0)), (1, Gen.Choose(1, 255)))
        from stream in Gen.Choose(-2, 3)
        from tag in Gen.Elements(Tag, Tag + 1)
        from length in Gen.OneOf(Gen.Choose(0, 70), Gen.Choose(32_740, 32_760), Gen.Choose(int.MinValue, int.MaxValue))
        select (type, flags, reserved, stream, tag, length),
        c =>
        {
            var bytes = new byte[ProtocolConstants.HeaderSize];
            new FrameHeader((FrameType)c.type, (byte)c.flags, (uint)c.stream, c.tag, c.length).Write(bytes);
            bytes[3] = (byte)c.reserved;
            FrameError error = FrameHeader.TryRead(bytes, Tag, out FrameHeader header);
            bool outOfBounds = (uint)c.length > ProtocolConstants.MaxPayloadSize || c.type is 0 or > 17 || c.tag != Tag || c.reserved != 0;
            if (error != FrameError.None)
            {
                return true;
            }

            var again = new byte[ProtocolConstants.HeaderSize];
            header.Write(again);
            return !outOfBounds && header.FrameSize <= ProtocolConstants.MaxFrameSize && again.AsSpan().SequenceEqual(bytes);
        });

    [Fact]
    public void Preamble_BehindAnyGarbage_IsFoundAndWhatFollowsIsKept() => Cases.ForAll(
        from garbage in Garbage from tail in Cases.Bytes from cuts in Cases.Cuts from generation in Gen.Choose(0, 65_535)
        select (garbage, tail, cuts, generation),
        c =>
        {
            byte[] preamble = PreambleBytes((ushort)c.generation);
            ReadOnlySequence<byte> buffer = Sequences.Cut([.. c.garbage, .. preamble, .. c.tail], c.cuts);
            return Preamble.TryFind(ref buffer, Epoch, out Preamble found)
                && found == new Preamble(Epoch, (ushort)c.generation) && buffer.ToArray().AsSpan().SequenceEqual(c.tail);
        });

    [Fact]
    public void Preamble_DeliveredPieceByPiece_IsFoundWithAtMost31BytesKept() => Cases.ForAll(
        from garbage in Garbage from cuts in Cases.Cuts select (garbage, cuts),
        c =>
        {
            ReadOnlyMemory<byte> kept = default;
            bool found = false;
            foreach (ReadOnlyMemory<byte> piece in Sequences.Pieces([.. c.garbage, .. PreambleBytes(1)], c.cuts))
            {
                ReadOnlySequence<byte> buffer = Sequences.Of(kept, piece);
                found |= Preamble.TryFind(ref buffer, Epoch, out _);
                kept = buffer.ToArray();
                if (kept.Length >= ProtocolConstants.PreambleSize)
                {
                    return false;
                }
            }

            return found && kept.IsEmpty;
        });

    /// <summary>The host's reconnect as the agent sees it: half a frame, the padding, the preamble.</summary>
    [Fact]
    public void HalfAFrame_ThenPaddingAndPreamble_IsNeverTakenForAFrameAndThePreambleIsFound() => Cases.ForAll(
        from frame in s_frame
        from cut in Gen.Choose(0, 100_000)
        from length in Gen.Choose(0, ProtocolConstants.MaxPayloadSize)
        select (frame, cut, length),
        c =>
        {
            // Sometimes with a longer payload than bytes were generated: the padding has to fill all of it.
            SomeFrame frame = c.frame.Type == FrameType.Data ? c.frame with { Payload = new byte[Math.Max(c.length, 1)] } : c.frame;
            byte[] bytes = frame.ToBytes(Tag);
            ReadOnlySequence<byte> buffer = Sequences.Of(bytes.AsMemory(0, c.cut % bytes.Length), s_padding, PreambleBytes(1));
            SomeFrame[] read = ReadAll(ref buffer, out FrameError error);
            return read.Length == 0 && error != FrameError.None && Preamble.TryFind(ref buffer, null, out Preamble found)
                && found.Epoch == Epoch && buffer.IsEmpty;
        });

    /// <summary>Bytes that look like the beginning of a preamble as often as not, but are none.</summary>
    private static Gen<byte[]> Garbage { get; } = Gen.OneOf(
        Cases.Bytes,
        Gen.OneOf(
            Gen.Choose(1, 31).Select(length => PreambleBytes(1)[..length]),
            Gen.Choose(0, 255).Select(value => new[] { (byte)value }),
            Gen.Constant(OtherEpoch()))
        .ArrayOf(4).Select(parts => parts.SelectMany(part => part).ToArray()))
        .Where(bytes => !HasPreamble(bytes)); // 31 bytes of one and a lucky one

    private static bool HasPreamble(byte[] bytes)
    {
        var buffer = new ReadOnlySequence<byte>(bytes);
        return Preamble.TryFind(ref buffer, Epoch, out _);
    }

    private static byte[] OtherEpoch()
    {
        var bytes = new byte[ProtocolConstants.PreambleSize];
        new Preamble(Epoch + 1, 1).Write(bytes);
        return bytes;
    }

    private static byte[] PreambleBytes(ushort generation)
    {
        var bytes = new byte[ProtocolConstants.PreambleSize];
        new Preamble(Epoch, generation).Write(bytes);
        return bytes;
    }

    private static byte[] Bytes(IEnumerable<SomeFrame> frames) => [.. frames.SelectMany(frame => frame.ToBytes(Tag))];

    private static SomeFrame[] ReadAll(ref ReadOnlySequence<byte> buffer, out FrameError error)
    {
        var frames = new List<SomeFrame>();
        while (FrameReader.TryRead(ref buffer, Tag, out FrameHeader header, out ReadOnlySequence<byte> payload, out error) == FrameReadStatus.Frame)
        {
            frames.Add(new SomeFrame(header.Type, header.Flags, header.StreamId, payload.ToArray()));
        }

        return [.. frames];
    }
}
