using System.Buffers.Binary;

namespace OpenSandbox.Vmm;

/// <summary>A query of the guest, read strictly: one question and at most an OPT record beside it.</summary>
/// <remarks>
/// <code>
///  0        2                                  4         6         8         10        12
///  +--------+----------------------------------+---------+---------+---------+---------+----------
///  | id     | QR Opcode AA TC RD RA Z AD CD RC | QDCOUNT | ANCOUNT | NSCOUNT | ARCOUNT | question
///  +--------+----------------------------------+---------+---------+---------+---------+----------
/// </code>
/// </remarks>
internal sealed class DnsQuery
{
    internal const int HeaderSize = 12;

    /// <summary>The smallest answer that everybody must take, and the size where the query names none.</summary>
    internal const int DefaultUdpSize = 512;

    /// <summary>Larger sizes are answered as this one; also the largest query.</summary>
    internal const int MaxUdpSize = 4_096;

    private DnsQuery(ushort id, bool recursionDesired)
    {
        Id = id;
        RecursionDesired = recursionDesired;
    }

    internal ushort Id { get; }

    internal bool RecursionDesired { get; }

    /// <summary>The question; <see langword="null"/> where it could not be read.</summary>
    internal DnsQuestion? Question { get; private init; }

    internal bool HasEdns { get; private init; }

    /// <summary>Largest answer over UDP.</summary>
    internal int UdpSize { get; private init; } = DefaultUdpSize;

    /// <summary>Reads a query.</summary>
    /// <param name="message">Any bytes.</param>
    /// <param name="query">What could be read of it: enough to answer.</param>
    /// <returns><see cref="DnsResponseCode.NoError"/>, or the code with which to answer.</returns>
    internal static DnsResponseCode Read(ReadOnlySpan<byte> message, out DnsQuery query)
    {
        ushort id = message.Length >= 2 ? BinaryPrimitives.ReadUInt16BigEndian(message) : (ushort)0;
        query = new DnsQuery(id, recursionDesired: false);
        if (message.Length is < HeaderSize or > MaxUdpSize)
        {
            return DnsResponseCode.FormatError;
        }

        ushort flags = BinaryPrimitives.ReadUInt16BigEndian(message[2..]);
        query = new DnsQuery(id, (flags & 0x0100) != 0);
        if ((flags & 0x8000) != 0)
        {
            return DnsResponseCode.FormatError;
        }

        if ((flags & 0x7800) != 0)
        {
            return DnsResponseCode.NotImplemented;
        }

        ushort additional = BinaryPrimitives.ReadUInt16BigEndian(message[10..]);
        // One question, nothing in the answer and authority sections.
        if (BinaryPrimitives.ReadUInt16BigEndian(message[4..]) != 1 || BinaryPrimitives.ReadUInt32BigEndian(message[6..]) != 0 || additional > 1)
        {
            return DnsResponseCode.FormatError;
        }

        var reader = new DnsReader(message);
        reader.TryReadBytes(HeaderSize, out _);
        if (!reader.TryReadName(compressed: false, out DnsName? name)
            || !reader.TryReadUInt16(out ushort type)
            || !reader.TryReadUInt16(out ushort queryClass))
        {
            return DnsResponseCode.FormatError;
        }

        var question = new DnsQuestion(name, type, queryClass);
        query = new DnsQuery(id, query.RecursionDesired) { Question = question };
        if (additional == 0)
        {
            return reader.AtEnd ? DnsResponseCode.NoError : DnsResponseCode.FormatError;
        }

        if (!reader.TryReadName(compressed: false, out DnsName? owner)
            || !reader.TryReadUInt16(out ushort optType)
            || !reader.TryReadUInt16(out ushort size)
            || !reader.TryReadUInt32(out uint extended)
            || !reader.TryReadUInt16(out ushort optionsLength)
            || !reader.TryReadBytes(optionsLength, out _)
            || !reader.AtEnd
            || optType != DnsType.Opt
            || owner.Wire.Length != 1)
        {
            return DnsResponseCode.FormatError;
        }

        query = new DnsQuery(id, query.RecursionDesired)
        {
            Question = question,
            HasEdns = true,
            UdpSize = Math.Clamp((int)size, DefaultUdpSize, MaxUdpSize),
        };
        return ((extended >> 16) & 0xFF) == 0 ? DnsResponseCode.NoError : DnsResponseCode.BadVersion;
    }
}
