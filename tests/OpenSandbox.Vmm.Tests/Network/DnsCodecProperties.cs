using System.Buffers.Binary;
using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.Vmm.Tests.Network;

/// <summary>What must hold for any bytes: the guest writes the queries, and whoever can reach the host's resolver the answers.</summary>
public sealed class DnsCodecProperties
{
    private static readonly DnsQuestion s_question = new(DnsName.Of("www.example.org"), Wire.A, 1);

    private static readonly Gen<string> s_label =
        from length in Gen.Frequency((9, Gen.Choose(1, 12)), (1, Gen.Choose(60, 63)))
        from text in Gen.Elements("abcXYZ019-_".ToCharArray()).ArrayOf(length)
        select new string(text);

    private static readonly Gen<string> s_name =
        from count in Gen.Choose(1, 5)
        from labels in s_label.ArrayOf(count)
        let name = string.Join('.', labels)
        select name.Length <= 253 ? name : labels[0];

    private static readonly Gen<byte[]> s_query =
        from name in s_name
        from type in Gen.Elements<ushort>(1, 28, 16, 15, 65, 255, 252, 12)
        from edns in Gen.Elements<int?>(null, 0, 512, 1_232, 4_096, 65_535)
        from id in Gen.Choose(0, 65_535)
        select Wire.Query(name, type, (ushort)id, edns);

    /// <summary>Records of an answer to <see cref="s_question"/>, with and without compression, right and wrong.</summary>
    private static readonly Gen<byte[]> s_record = Gen.OneOf(
        Gen.Constant(Wire.Address("www.example.org", "93.184.215.14")),
        Gen.Constant(Wire.Alias("www.example.org", "cdn.example.net")),
        Gen.Constant(Wire.Alias("cdn.example.net", "www.example.org")),
        Gen.Constant(Wire.Address("cdn.example.net", "10.0.0.1")),
        Gen.Constant(Wire.Address("www.example.org", "2606:4700::1")),
        Gen.Constant<byte[]>([0xC0, 0x0C, .. Wire.U16(1), .. Wire.U16(1), 0, 0, 0, 60, 0, 4, 1, 2, 3, 4]),
        Gen.Constant<byte[]>([0xC0, 0x0C, .. Wire.U16(5), .. Wire.U16(1), 0, 0, 0, 60, 0, 2, 0xC0, 0x10]),
        Gen.Constant<byte[]>([0xC0, 0x0C, .. Wire.U16(6), .. Wire.U16(1), 0, 0, 0, 60, 0, 24, 0xC0, 0x10, 0xC0, 0x0C, .. new byte[20]]),
        from type in Gen.Choose(0, 300)
        from data in Cases.Bytes
        select Wire.Record("www.example.org", (ushort)type, 60, data));

    private static readonly Gen<byte[]> s_reply =
        from count in Gen.Choose(0, 8)
        from records in s_record.ArrayOf(count)
        from code in Gen.Elements(0, 0, 0, 2, 3, 5)
        select Wire.Reply(0x1234, "www.example.org", Wire.A, code, records);

    [Fact]
    public void Query_OfAnyBytes_IsReadOrRefusedAndCanBeAnswered() => Cases.ForAll(
        Gen.OneOf(Cases.Bytes, s_query, Cases.Spoiled(s_query)),
        static bytes =>
        {
            DnsResponseCode code = DnsQuery.Read(bytes, out DnsQuery query);
            WireMessage answer = Wire.Read(DnsMessage.Answer(query, code, [], overTcp: false));
            return (query.Question is not null || code != DnsResponseCode.NoError)
                && query.UdpSize is >= 512 and <= 4_096
                && answer.Code == (int)code
                && (bytes.Length < 2 || answer.Id == BinaryPrimitives.ReadUInt16BigEndian(bytes))
                && (answer.Flags & 0x8000) != 0;
        });

    [Fact]
    public void Query_InOrder_IsReadBack() => Cases.ForAll(
        from name in s_name
        from type in Gen.Choose(1, 65_535)
        from id in Gen.Choose(0, 65_535)
        from edns in Gen.Elements<int?>(null, 100, 1_232, 65_535)
        select (name, type, id, edns),
        static c =>
        {
            DnsResponseCode code = DnsQuery.Read(Wire.Query(c.name, (ushort)c.type, (ushort)c.id, c.edns), out DnsQuery query);
            return code == DnsResponseCode.NoError
                && query.Id == c.id
                && query.Question!.Type == c.type
                && query.Question.Name.TryGetText(out string? text)
                && string.Equals(text, c.name, StringComparison.OrdinalIgnoreCase)
                && !text.Any(char.IsAsciiLetterUpper)
                && query.Question.Name.Equals(DnsName.Of(text))
                && query.UdpSize == Math.Clamp(c.edns ?? 512, 512, 4_096);
        });

    [Fact]
    public void Reply_OfAnyBytes_IsReadOrRefusedAndCanBePassedOn() => Cases.ForAll(
        Gen.OneOf(Cases.Bytes, s_reply, Cases.Spoiled(s_reply)),
        static bytes =>
        {
            DnsReply? reply = DnsReply.Read(bytes, 0x1234, s_question);
            if (reply is null)
            {
                return true;
            }

            DnsQuery.Read(Wire.Query("www.example.org"), out DnsQuery query);
            WireMessage answer = Wire.Read(DnsMessage.Answer(query, DnsResponseCode.NoError, reply.Records, overTcp: true));
            return DnsReply.Answers(bytes, 0x1234, s_question)
                && reply.Records.Count <= DnsReply.MaxChain + DnsReply.MaxRecords
                && reply.Records.All(static record => record.Type is Wire.A or Wire.Cname)
                && reply.Records.All(static record => record.Type != Wire.A || record.Data.Length == 4)
                && answer.Records.Count == reply.Records.Count;
        });

    [Fact]
    public void Reply_Passed_OnTellsTheSameNames() => Cases.ForAll(
        from names in s_name.ArrayOf(6)
        from addresses in Gen.Choose(0, 8)
        select (names: names.Select(static (name, i) => $"n{i}.{(name.Length > 240 ? "x" : name)}").ToArray(), addresses),
        static c =>
        {
            byte[][] records =
            [
                Wire.Alias("www.example.org", c.names[0]),
                .. c.names.Zip(c.names.Skip(1), static (from, to) => Wire.Alias(from, to)),
                .. Enumerable.Range(1, c.addresses).Select(i => Wire.Address(c.names[^1], $"93.184.215.{i}")),
            ];
            DnsReply reply = DnsReply.Read(Wire.Reply(0x1234, "www.example.org", Wire.A, 0, records), 0x1234, s_question)!;
            DnsQuery.Read(Wire.Query("WWW.example.org"), out DnsQuery query);
            WireMessage answer = Wire.Read(DnsMessage.Answer(query, reply.Code, reply.Records, overTcp: true));

            return answer.Records.Count(static record => record.Type == Wire.Cname) == c.names.Length
                && answer.Records.Where(static record => record.Type == Wire.Cname).Select(static record => record.Target).SequenceEqual(c.names)
                && answer.Addresses.Length == c.addresses
                && answer.Records.Where(static record => record.Type == Wire.A).All(record => record.Owner == c.names[^1]);
        });

    [Fact]
    public void Name_WithPointersAnywhere_EndsAndStaysInBounds() => Cases.ForAll(
        from bytes in Gen.Frequency((1, Gen.Choose(0, 255)), (3, Gen.Elements(0xC0, 0xC1, 0, 1, 2, 4, 63))).Select(static value => (byte)value).ArrayOf()
        from start in Gen.Choose(0, 200)
        select (bytes, start),
        static c =>
        {
            var reader = new DnsReader(c.bytes);
            if (!reader.TryReadBytes(Math.Min(c.start, c.bytes.Length), out _))
            {
                return false;
            }

            int before = reader.Position;
            return !reader.TryReadName(compressed: true, out DnsName? name)
                ? reader.Position == before
                : name.Wire.Length <= DnsName.MaxWireLength && name.Wire[^1] == 0 && reader.Position > before && reader.Position <= c.bytes.Length;
        });

    [Fact]
    public void Answer_OverUdp_NeverExceedsWhatTheClientTakes() => Cases.ForAll(
        from edns in Gen.Elements<int?>(null, 0, 512, 700, 1_232, 4_096, 65_535)
        from count in Gen.Choose(0, 128)
        from code in Gen.Elements(DnsResponseCode.NoError, DnsResponseCode.NameError)
        select (edns, count, code),
        static c =>
        {
            DnsQuery.Read(Wire.Query("www.example.org", edns: c.edns), out DnsQuery query);
            DnsRecord[] records = [.. Enumerable.Range(0, c.count).Select(static i => new DnsRecord(s_question.Name, Wire.A, 60, [1, 2, 3, (byte)i]))];
            byte[] udp = DnsMessage.Answer(query, c.code, records, overTcp: false, DnsMessage.ErrorBlocked);
            WireMessage answer = Wire.Read(udp);

            return udp.Length <= query.UdpSize
                && (answer.Truncated ? answer.Records.Count == 0 && c.count > 20 : answer.Records.Count == c.count)
                && answer.Code == (int)c.code
                && Wire.Read(DnsMessage.Answer(query, c.code, records, overTcp: true)).Records.Count == c.count;
        });

    [Fact]
    public void Rule_OfAnyText_IsReadBackOrRefused() => Cases.ForAll(
        Gen.Elements("allow deny*.:/[]-,_0123456789abcdefx%é \t".ToCharArray()).ArrayOf().Select(static text => new string(text)),
        static text =>
        {
            foreach (string candidate in (string[])[text, $"allow {text}", $"deny *.{text}", $"allow [{text}]:80", $"allow {text}:1-2"])
            {
                if (EgressRule.TryParse(candidate, out EgressRule? rule) && !rule.Equals(EgressRule.Parse(rule.ToString())))
                {
                    return false;
                }
            }

            return true;
        });
}
