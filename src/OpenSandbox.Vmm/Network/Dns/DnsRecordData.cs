namespace OpenSandbox.Vmm;

/// <summary>Checks the data of records, and takes the compression out of the names in it.</summary>
internal static class DnsRecordData
{
    /// <summary>Data that stands for itself.</summary>
    /// <param name="message">The whole message, to which pointers refer.</param>
    /// <param name="start">Where the data starts.</param>
    /// <param name="data">The data.</param>
    /// <param name="type">The record type.</param>
    /// <returns>The data without pointers; <see langword="null"/>: it is malformed.</returns>
    /// <remarks>Types that are newer than RFC 1035 have no compressed names (RFC 3597 section 4), except SRV as some servers send it.</remarks>
    internal static byte[]? Expand(ReadOnlySpan<byte> message, int start, ReadOnlySpan<byte> data, ushort type) => type switch
    {
        DnsType.A => data.Length == 4 ? data.ToArray() : null,
        DnsType.Aaaa => data.Length == 16 ? data.ToArray() : null,
        DnsType.Cname or DnsType.Ns or DnsType.Ptr or DnsType.Dname => Expand(message, start, data.Length, before: 0, names: 1, after: 0),
        DnsType.Mx => Expand(message, start, data.Length, before: 2, names: 1, after: 0),
        DnsType.Srv => Expand(message, start, data.Length, before: 6, names: 1, after: 0),
        DnsType.Soa => Expand(message, start, data.Length, before: 0, names: 2, after: 20),
        _ => data.ToArray(),
    };

    private static byte[]? Expand(ReadOnlySpan<byte> message, int start, int length, int before, int names, int after)
    {
        // Names may not reach beyond the data; what they point to lies in front of it.
        var reader = new DnsReader(message[..(start + length)]);
        if (!reader.TryReadBytes(start, out _) || !reader.TryReadBytes(before, out ReadOnlySpan<byte> head))
        {
            return null;
        }

        Span<byte> plain = stackalloc byte[(2 * DnsName.MaxWireLength) + 20];
        head.CopyTo(plain);
        int written = before;
        for (int i = 0; i < names; i++)
        {
            if (!reader.TryReadName(compressed: true, out DnsName? name))
            {
                return null;
            }

            name.Wire.CopyTo(plain[written..]);
            written += name.Wire.Length;
        }

        if (!reader.TryReadBytes(after, out ReadOnlySpan<byte> tail) || !reader.AtEnd)
        {
            return null;
        }

        tail.CopyTo(plain[written..]);
        return plain[..(written + after)].ToArray();
    }
}
