using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace OpenSandbox.Vmm;

/// <summary>Reads a DNS message. Every step says whether it was possible; none reads outside of the message.</summary>
internal ref struct DnsReader(ReadOnlySpan<byte> message)
{
    /// <summary>More pointers than a name can have labels serve no honest purpose.</summary>
    private const int MaxJumps = 127;

    private readonly ReadOnlySpan<byte> _message = message;

    internal int Position { get; private set; }

    internal readonly bool AtEnd => Position == _message.Length;

    internal bool TryReadUInt16(out ushort value)
    {
        if (_message.Length - Position < 2)
        {
            value = 0;
            return false;
        }

        value = BinaryPrimitives.ReadUInt16BigEndian(_message[Position..]);
        Position += 2;
        return true;
    }

    internal bool TryReadUInt32(out uint value)
    {
        if (_message.Length - Position < 4)
        {
            value = 0;
            return false;
        }

        value = BinaryPrimitives.ReadUInt32BigEndian(_message[Position..]);
        Position += 4;
        return true;
    }

    internal bool TryReadBytes(int count, out ReadOnlySpan<byte> bytes)
    {
        if (count < 0 || _message.Length - Position < count)
        {
            bytes = default;
            return false;
        }

        bytes = _message.Slice(Position, count);
        Position += count;
        return true;
    }

    /// <summary>Reads a name, following pointers if they are allowed here.</summary>
    /// <remarks>
    /// A pointer must lead in front of the piece that it ends (RFC 1035 section 4.1.4: "a prior occurrence"): every jump goes further back, so
    /// that there is no loop, and the length bounds the number of labels. Pointers to pointers add no length: their number has a bound of its own.
    /// </remarks>
    internal bool TryReadName(bool compressed, [NotNullWhen(true)] out DnsName? name)
    {
        name = null;
        Span<byte> wire = stackalloc byte[DnsName.MaxWireLength];
        int length = 0;
        int at = Position;
        int pieceStart = at;
        int end = -1;
        int jumps = 0;
        while (true)
        {
            if (at >= _message.Length)
            {
                return false;
            }

            byte first = _message[at];
            if (first == 0)
            {
                // The loop below leaves room for the root.
                wire[length++] = 0;
                Position = end >= 0 ? end : at + 1;
                name = new DnsName(wire[..length]);
                return true;
            }

            if ((first & 0xC0) == 0xC0)
            {
                if (!compressed || at + 1 >= _message.Length)
                {
                    return false;
                }

                if (++jumps > MaxJumps)
                {
                    return false;
                }

                int target = ((first & 0x3F) << 8) | _message[at + 1];
                if (target >= pieceStart)
                {
                    return false;
                }

                end = end >= 0 ? end : at + 2;
                at = pieceStart = target;
                continue;
            }

            // The other two high-bit combinations were never put to use.
            if ((first & 0xC0) != 0 || at + 1 + first > _message.Length || length + 1 + first > DnsName.MaxWireLength - 1)
            {
                return false;
            }

            _message.Slice(at, 1 + first).CopyTo(wire[length..]);
            length += 1 + first;
            at += 1 + first;
        }
    }
}
