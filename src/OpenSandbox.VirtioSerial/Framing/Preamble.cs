using System.Buffers;
using System.Buffers.Binary;

namespace OpenSandbox.VirtioSerial;

/// <summary>
/// The 32 bytes that open a session on a port, little-endian:
/// <code>
///  0                               16               24      26      28         32
///  +-------------------------------+----------------+-------+-------+----------+
///  | magic (16 fixed bytes)        | epoch  u64     | gen   | flags | check    |
///  +-------------------------------+----------------+-------+-------+----------+
/// </code>
/// </summary>
/// <param name="Epoch">The session's number; its low half is the session tag.</param>
/// <param name="Generation">The sender's protocol generation.</param>
public readonly record struct Preamble(ulong Epoch, ushort Generation)
{
    private const int EpochOffset = 16;
    private const int GenerationOffset = 24;
    private const int FlagsOffset = 26;
    private const int CheckOffset = 28;

    /// <summary>The tag that the frames of this session carry.</summary>
    public uint SessionTag => (uint)Epoch;

    /// <summary>Whether an epoch may open a session: its tag is neither all zeroes nor all ones.</summary>
    /// <param name="epoch">The epoch.</param>
    /// <returns>Whether it may.</returns>
    public static bool IsValidEpoch(ulong epoch) => (uint)epoch is not (0 or uint.MaxValue);

    /// <summary>Writes the preamble to the first 32 bytes of <paramref name="destination"/>.</summary>
    /// <param name="destination">At least <see cref="ProtocolConstants.PreambleSize"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        ProtocolConstants.Magic.CopyTo(destination);
        BinaryPrimitives.WriteUInt64LittleEndian(destination[EpochOffset..], Epoch);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[GenerationOffset..], Generation);
        BinaryPrimitives.WriteUInt16LittleEndian(destination[FlagsOffset..], 0);
        BinaryPrimitives.WriteUInt32LittleEndian(destination[CheckOffset..], ~SessionTag);
    }

    /// <summary>Reads a preamble that begins at the first byte of <paramref name="source"/>.</summary>
    /// <param name="source">At least <see cref="ProtocolConstants.PreambleSize"/> bytes.</param>
    /// <param name="preamble">The preamble, when there is a valid one.</param>
    /// <returns>Whether there is a valid one. Flags of later generations are ignored.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out Preamble preamble)
    {
        preamble = default;
        if (source.Length < ProtocolConstants.PreambleSize || !source.StartsWith(ProtocolConstants.Magic))
        {
            return false;
        }

        ulong epoch = BinaryPrimitives.ReadUInt64LittleEndian(source[EpochOffset..]);
        if (!IsValidEpoch(epoch) || BinaryPrimitives.ReadUInt32LittleEndian(source[CheckOffset..]) != ~(uint)epoch)
        {
            return false;
        }

        preamble = new Preamble(epoch, BinaryPrimitives.ReadUInt16LittleEndian(source[GenerationOffset..]));
        return true;
    }

    /// <summary>Drops bytes until a valid preamble has been found and taken.</summary>
    /// <param name="buffer">Received bytes. Moved past the preamble, or past everything that cannot be part of one.</param>
    /// <param name="expectedEpoch">The only epoch to accept, or <see langword="null"/> for any.</param>
    /// <param name="preamble">The preamble, when one was found.</param>
    /// <returns>Whether one was found. If not, at most 31 bytes stay in the buffer.</returns>
    public static bool TryFind(ref ReadOnlySequence<byte> buffer, ulong? expectedEpoch, out Preamble preamble)
    {
        Span<byte> candidate = stackalloc byte[ProtocolConstants.PreambleSize];
        var reader = new SequenceReader<byte>(buffer);
        while (reader.TryAdvanceTo(ProtocolConstants.Magic[0], advancePastDelimiter: false))
        {
            if (reader.Remaining < ProtocolConstants.PreambleSize)
            {
                if (CouldBeBeginning(reader.UnreadSequence))
                {
                    buffer = reader.UnreadSequence;
                    preamble = default;
                    return false;
                }
            }
            else if (reader.TryCopyTo(candidate) && TryRead(candidate, out preamble)
                && (expectedEpoch is null || expectedEpoch == preamble.Epoch))
            {
                reader.Advance(ProtocolConstants.PreambleSize);
                buffer = reader.UnreadSequence;
                return true;
            }

            reader.Advance(1);
        }

        buffer = buffer.Slice(buffer.End);
        preamble = default;
        return false;
    }

    /// <summary>Whether fewer than 32 bytes agree with the magic as far as they go.</summary>
    private static bool CouldBeBeginning(in ReadOnlySequence<byte> bytes)
    {
        int length = (int)Math.Min(bytes.Length, ProtocolConstants.Magic.Length);
        Span<byte> scratch = stackalloc byte[length];
        bytes.Slice(0, length).CopyTo(scratch);
        return ProtocolConstants.Magic[..length].SequenceEqual(scratch);
    }
}
