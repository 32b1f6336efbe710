using System.Buffers.Binary;
using System.Net;
using System.Text;

namespace OpenSandbox.Vmm.Tests.Network;

/// <summary>DNS messages as the tests make and read them: written apart from the product's own codec, so that both must agree.</summary>
internal static class Wire
{
    internal const ushort A = 1;
    internal const ushort Ns = 2;
    internal const ushort Cname = 5;
    internal const ushort Soa = 6;
    internal const ushort Ptr = 12;
    internal const ushort Hinfo = 13;
    internal const ushort Mx = 15;
    internal const ushort Txt = 16;
    internal const ushort Aaaa = 28;
    internal const ushort Srv = 33;
    internal const ushort Https = 65;
    internal const ushort Any = 255;

    internal static byte[] Query(
        string name, ushort type = A, ushort id = 0x1234, int? edns = null, ushort flags = 0x0100, ushort queryClass = 1, byte ednsVersion = 0) =>
    [
        .. U16(id), .. U16(flags), .. U16(1), .. U16(0), .. U16(0), .. U16(edns is null ? 0 : 1),
        .. Name(name), .. U16(type), .. U16(queryClass),
        .. edns is int size ? (byte[])[0, .. U16(41), .. U16(size), 0, ednsVersion, 0, 0, .. U16(0)] : [],
    ];

    internal static byte[] Reply(ushort id, string name, ushort type, int code, params byte[][] records) =>
        Reply(id, name, type, (ushort)(0x8180 | code), records.Length, records);

    internal static byte[] Reply(ushort id, string name, ushort type, ushort flags, int count, byte[][] records) =>
    [
        .. U16(id), .. U16(flags), .. U16(1), .. U16(count), .. U16(0), .. U16(0), .. Name(name), .. U16(type), .. U16(1),
        .. records.SelectMany(static record => record),
    ];

    internal static byte[] Record(string owner, ushort type, uint timeToLive, byte[] data, ushort recordClass = 1) =>
        [.. Name(owner), .. U16(type), .. U16(recordClass), .. U16((int)(timeToLive >> 16)), .. U16((int)(timeToLive & 0xFFFF)), .. U16(data.Length), .. data];

    internal static byte[] Address(string owner, string address, uint timeToLive = 60)
    {
        var parsed = IPAddress.Parse(address);
        return Record(owner, parsed.GetAddressBytes().Length == 4 ? A : Aaaa, timeToLive, parsed.GetAddressBytes());
    }

    internal static byte[] Alias(string owner, string target, uint timeToLive = 60) => Record(owner, Cname, timeToLive, Name(target));

    internal static byte[] Name(string name) =>
        [.. name.Split('.', StringSplitOptions.RemoveEmptyEntries).SelectMany(static label => (byte[])[(byte)label.Length, .. Encoding.Latin1.GetBytes(label)]), 0];

    internal static byte[] U16(int value) => [(byte)(value >> 8), (byte)value];

    /// <summary>Reads a message and fails the test if it is not in perfect order to its last byte.</summary>
    internal static WireMessage Read(ReadOnlyMemory<byte> memory)
    {
        byte[] m = memory.ToArray();
        Assert.InRange(m.Length, 12, 65_535);
        int at = 12;
        string? name = null;
        ushort type = 0;
        int questions = Get16(m, 4);
        Assert.InRange(questions, 0, 1);
        if (questions == 1)
        {
            name = GetName(m, ref at);
            type = (ushort)Get16(m, at);
            at += 4;
        }

        var records = new List<WireRecord>();
        byte[]? options = null;
        int extended = 0;
        int total = Get16(m, 6) + Get16(m, 8) + Get16(m, 10);
        for (int i = 0; i < total; i++)
        {
            string owner = GetName(m, ref at);
            ushort recordType = (ushort)Get16(m, at);
            uint timeToLive = BinaryPrimitives.ReadUInt32BigEndian(m.AsSpan(at + 4));
            int length = Get16(m, at + 8);
            byte[] data = m.AsSpan(at + 10, length).ToArray();
            at += 10 + length;
            if (recordType == 41)
            {
                options = data;
                extended = (int)(timeToLive >> 24);
            }
            else
            {
                records.Add(new WireRecord(owner, recordType, timeToLive, data));
            }
        }

        Assert.Equal(m.Length, at);
        return new WireMessage(Get16(m, 0), Get16(m, 2), (extended << 4) | (m[3] & 0xF), name, type, records, options);
    }

    internal static string GetName(byte[] m, ref int at)
    {
        var text = new StringBuilder();
        int place = at;
        bool jumped = false;
        for (int steps = 0; steps < 300; steps++)
        {
            int length = m[place];
            if (length == 0)
            {
                at = jumped ? at : place + 1;
                return text.ToString();
            }

            if (length >= 0xC0)
            {
                at = jumped ? at : place + 2;
                jumped = true;
                place = Get16(m, place) & 0x3FFF;
                continue;
            }

            text.Append(text.Length > 0 ? "." : "").Append(Encoding.Latin1.GetString(m, place + 1, length));
            place += 1 + length;
        }

        throw new InvalidDataException("a name without an end");
    }

    private static int Get16(byte[] m, int at) => BinaryPrimitives.ReadUInt16BigEndian(m.AsSpan(at));
}

internal sealed record WireRecord(string Owner, ushort Type, uint TimeToLive, byte[] Data)
{
    internal string Address => new IPAddress(Data).ToString();

    internal string Target
    {
        get
        {
            int at = 0;
            return Wire.GetName(Data, ref at);
        }
    }
}

internal sealed record WireMessage(int Id, int Flags, int Code, string? Name, ushort Type, IReadOnlyList<WireRecord> Records, byte[]? Options)
{
    internal bool Truncated => (Flags & 0x0200) != 0;

    internal string[] Addresses => [.. Records.Where(static r => r.Type is Wire.A or Wire.Aaaa).Select(static r => r.Address)];
}
