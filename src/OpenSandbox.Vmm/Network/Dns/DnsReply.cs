using System.Buffers.Binary;

namespace OpenSandbox.Vmm;

/// <summary>What an upstream server answered: the header's outcome and the records that answer the question.</summary>
internal sealed class DnsReply
{
    /// <summary>Longest chain of CNAME records that is followed.</summary>
    internal const int MaxChain = 16;

    /// <summary>Most records beside the chain; what is more is left out.</summary>
    internal const int MaxRecords = 128;

    private DnsReply(DnsResponseCode code, bool truncated, IReadOnlyList<DnsRecord> records)
    {
        Code = code;
        Truncated = truncated;
        Records = records;
    }

    internal DnsResponseCode Code { get; }

    /// <summary>The whole answer is to be had over TCP.</summary>
    internal bool Truncated { get; }

    /// <summary>The chain from the asked name, in order, then the records at its end.</summary>
    internal IReadOnlyList<DnsRecord> Records { get; }

    /// <summary>Whether a message is an answer to a query at all: only then it counts, whatever else is in it.</summary>
    internal static bool Answers(ReadOnlySpan<byte> message, ushort id, DnsQuestion question) => TryReadQuestion(message, id, question, out _);

    /// <summary>Reads the answer to a query. Everything must be in order up to the end of the answer section.</summary>
    /// <param name="message">Any bytes.</param>
    /// <param name="id">The query's id.</param>
    /// <param name="question">The query's question.</param>
    /// <returns>The reply; <see langword="null"/>: it is malformed or answers something else.</returns>
    internal static DnsReply? Read(ReadOnlySpan<byte> message, ushort id, DnsQuestion question)
    {
        if (!TryReadQuestion(message, id, question, out int position))
        {
            return null;
        }

        ushort flags = BinaryPrimitives.ReadUInt16BigEndian(message[2..]);
        var code = (DnsResponseCode)(flags & 0xF);
        if ((flags & 0x0200) != 0)
        {
            return new DnsReply(code, truncated: true, []);
        }

        var reader = new DnsReader(message);
        reader.TryReadBytes(position, out _);
        int count = BinaryPrimitives.ReadUInt16BigEndian(message[6..]);
        var all = new List<DnsRecord>(Math.Min(count, 16));
        for (int i = 0; i < count; i++)
        {
            if (!TryReadRecord(ref reader, message, out DnsRecord? record))
            {
                return null;
            }

            if (record is not null)
            {
                all.Add(record);
            }
        }

        List<DnsRecord>? chosen = Choose(all, question);
        return chosen is null ? null : new DnsReply(code, truncated: false, chosen);
    }

    private static bool TryReadQuestion(ReadOnlySpan<byte> message, ushort id, DnsQuestion question, out int end)
    {
        end = 0;
        // An answer, to a standard query, with our id and our one question.
        if (message.Length < DnsQuery.HeaderSize
            || BinaryPrimitives.ReadUInt16BigEndian(message) != id
            || (message[2] & 0xF8) != 0x80
            || BinaryPrimitives.ReadUInt16BigEndian(message[4..]) != 1)
        {
            return false;
        }

        var reader = new DnsReader(message);
        reader.TryReadBytes(DnsQuery.HeaderSize, out _);
        if (!reader.TryReadName(compressed: false, out DnsName? name)
            || !reader.TryReadUInt16(out ushort type)
            || !reader.TryReadUInt16(out ushort queryClass)
            || !name.Equals(question.Name)
            || type != question.Type
            || queryClass != question.Class)
        {
            return false;
        }

        end = reader.Position;
        return true;
    }

    /// <summary>Reads one record; <see langword="null"/> with success: one of another class, which nobody asked for.</summary>
    private static bool TryReadRecord(ref DnsReader reader, ReadOnlySpan<byte> message, out DnsRecord? record)
    {
        record = null;
        if (!reader.TryReadName(compressed: true, out DnsName? owner)
            || !reader.TryReadUInt16(out ushort type)
            || !reader.TryReadUInt16(out ushort recordClass)
            || !reader.TryReadUInt32(out uint timeToLive)
            || !reader.TryReadUInt16(out ushort length))
        {
            return false;
        }

        int start = reader.Position;
        if (!reader.TryReadBytes(length, out ReadOnlySpan<byte> data))
        {
            return false;
        }

        if (recordClass != DnsQuestion.ClassInternet)
        {
            return true;
        }

        byte[]? plain = DnsRecordData.Expand(message, start, data, type);
        if (plain is null)
        {
            return false;
        }

        // RFC 2181 section 8: a value with the highest bit set counts as 0.
        record = new DnsRecord(owner, type, timeToLive > int.MaxValue ? 0 : timeToLive, plain);
        return true;
    }

    /// <summary>The chain and what is at its end; nothing else that a server may have put in. Null: the chain has no end.</summary>
    private static List<DnsRecord>? Choose(List<DnsRecord> all, DnsQuestion question)
    {
        var chosen = new List<DnsRecord>();
        DnsName name = question.Name;
        while (question.Type != DnsType.Cname)
        {
            DnsRecord? link = all.Find(record => record.Type == DnsType.Cname && record.Owner.Equals(name));
            if (link is null)
            {
                break;
            }

            if (chosen.Count == MaxChain)
            {
                return null;
            }

            chosen.Add(link);
            name = new DnsName(link.Data);
        }

        chosen.AddRange(all.Where(record => record.Type == question.Type && record.Owner.Equals(name)).Take(MaxRecords));
        return chosen;
    }
}
