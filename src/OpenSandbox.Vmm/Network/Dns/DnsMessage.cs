using System.Buffers;
using System.Buffers.Binary;

namespace OpenSandbox.Vmm;

/// <summary>Writes DNS messages.</summary>
internal static class DnsMessage
{
    /// <summary>Largest message over TCP, whose length has 16 bits.</summary>
    internal const int MaxSize = 65_535;

    /// <summary>Largest answer to the guest: what fits one frame of the agent's protocol as base64.</summary>
    internal const int MaxAnswer = 24_000;

    /// <summary>What crosses every path without fragments (DNS flag day 2020), and what is asked of upstream servers.</summary>
    internal const int UpstreamUdpSize = 1_232;

    /// <summary>RFC 8914: "Blocked", for those who ask with EDNS why a name does not exist.</summary>
    internal const ushort ErrorBlocked = 15;

    private const ushort Response = 0x8000;
    private const ushort Truncated = 0x0200;
    private const ushort RecursionDesired = 0x0100;
    private const ushort RecursionAvailable = 0x0080;

    /// <summary>A query of our own.</summary>
    internal static byte[] Query(ushort id, DnsQuestion question, bool edns)
    {
        var writer = new ArrayBufferWriter<byte>(64);
        Header(writer, id, RecursionDesired, questions: 1, answers: 0, additional: edns ? 1 : 0);
        Write(writer, question);
        if (edns)
        {
            WriteOpt(writer, UpstreamUdpSize, DnsResponseCode.NoError, null);
        }

        return writer.WrittenSpan.ToArray();
    }

    /// <summary>An answer to the guest.</summary>
    /// <param name="query">What it asked.</param>
    /// <param name="code">The response code.</param>
    /// <param name="records">The answer section.</param>
    /// <param name="overTcp">Whether any size will do.</param>
    /// <param name="extendedError">A code of RFC 8914, told to those who sent OPT.</param>
    /// <returns>The message: over UDP without its records and marked as truncated where it is too large; a server failure where it exceeds all bounds.</returns>
    internal static byte[] Answer(DnsQuery query, DnsResponseCode code, IReadOnlyList<DnsRecord> records, bool overTcp, ushort? extendedError = null)
    {
        byte[] whole = Build(query, code, records, truncated: false, extendedError);
        if (whole.Length <= (overTcp ? MaxAnswer : query.UdpSize))
        {
            return whole;
        }

        return overTcp
            ? Build(query, DnsResponseCode.ServerFailure, [], truncated: false, null)
            : Build(query, code, [], truncated: true, extendedError);
    }

    private static byte[] Build(DnsQuery query, DnsResponseCode code, IReadOnlyList<DnsRecord> records, bool truncated, ushort? extendedError)
    {
        var writer = new ArrayBufferWriter<byte>(512);
        ushort flags = (ushort)(Response | RecursionAvailable | ((int)code & 0xF)
            | (query.RecursionDesired ? RecursionDesired : 0) | (truncated ? Truncated : 0));
        Header(writer, query.Id, flags, query.Question is null ? 0 : 1, records.Count, query.HasEdns ? 1 : 0);
        var places = new Dictionary<DnsName, int>();
        if (query.Question is not null)
        {
            places.Add(query.Question.Name, writer.WrittenCount);
            Write(writer, query.Question);
        }

        foreach (DnsRecord record in records)
        {
            if (writer.WrittenCount > MaxSize)
            {
                break;
            }

            WriteOwner(writer, record.Owner, places);
            UInt16(writer, record.Type);
            UInt16(writer, DnsQuestion.ClassInternet);
            UInt32(writer, record.TimeToLive);
            UInt16(writer, (ushort)record.Data.Length);
            if (record.Type == DnsType.Cname)
            {
                // The next record's owner: it becomes a pointer to here.
                places.TryAdd(new DnsName(record.Data), writer.WrittenCount);
            }

            writer.Write(record.Data);
        }

        if (query.HasEdns)
        {
            WriteOpt(writer, DnsQuery.MaxUdpSize, code, extendedError);
        }

        return writer.WrittenSpan.ToArray();
    }

    private static void WriteOwner(ArrayBufferWriter<byte> writer, DnsName owner, Dictionary<DnsName, int> places)
    {
        if (places.TryGetValue(owner, out int place) && place < 0x4000)
        {
            UInt16(writer, (ushort)(0xC000 | place));
            return;
        }

        places.TryAdd(owner, writer.WrittenCount);
        writer.Write(owner.Wire);
    }

    private static void Header(ArrayBufferWriter<byte> writer, ushort id, ushort flags, int questions, int answers, int additional)
    {
        UInt16(writer, id);
        UInt16(writer, flags);
        UInt16(writer, (ushort)questions);
        UInt16(writer, (ushort)answers);
        UInt16(writer, 0);
        UInt16(writer, (ushort)additional);
    }

    private static void Write(ArrayBufferWriter<byte> writer, DnsQuestion question)
    {
        writer.Write(question.Name.Wire);
        UInt16(writer, question.Type);
        UInt16(writer, question.Class);
    }

    /// <summary>RFC 6891 section 6.1.2: root, OPT, size, upper bits of the code with version and flags, options.</summary>
    private static void WriteOpt(ArrayBufferWriter<byte> writer, int size, DnsResponseCode code, ushort? extendedError)
    {
        writer.Write<byte>([0]);
        UInt16(writer, DnsType.Opt);
        UInt16(writer, (ushort)size);
        UInt32(writer, (uint)((int)code >> 4) << 24);
        if (extendedError is not ushort error)
        {
            UInt16(writer, 0);
            return;
        }

        UInt16(writer, 6);
        UInt16(writer, 15);
        UInt16(writer, 2);
        UInt16(writer, error);
    }

    private static void UInt16(ArrayBufferWriter<byte> writer, ushort value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(writer.GetSpan(2), value);
        writer.Advance(2);
    }

    private static void UInt32(ArrayBufferWriter<byte> writer, uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(writer.GetSpan(4), value);
        writer.Advance(4);
    }
}
