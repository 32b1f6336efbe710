namespace OpenSandbox.Vmm;

/// <summary>Record types that are treated in a way of their own (IANA DNS parameters).</summary>
internal static class DnsType
{
    internal const ushort A = 1;
    internal const ushort Ns = 2;
    internal const ushort Cname = 5;
    internal const ushort Soa = 6;
    internal const ushort Ptr = 12;
    internal const ushort Hinfo = 13;
    internal const ushort Mx = 15;
    internal const ushort Aaaa = 28;
    internal const ushort Srv = 33;
    internal const ushort Dname = 39;
    internal const ushort Opt = 41;
    internal const ushort Svcb = 64;
    internal const ushort Https = 65;
    internal const ushort Any = 255;

    /// <summary>Types of queries and of messages about messages (zone transfers, keys, signatures): 128 to 255, but not ANY; and 0 and OPT.</summary>
    internal static bool IsMeta(ushort type) => type is 0 or Opt or (>= 128 and < Any);
}
