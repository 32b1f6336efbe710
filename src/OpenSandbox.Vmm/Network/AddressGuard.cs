using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Vmm;

/// <summary>Knows the addresses that a guest may not reach unless a rule opens them, whatever the default action says.</summary>
/// <remarks>
/// From the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its successors), and what clouds answer on outside of them.
/// IPv6 is judged the other way round: only 2000::/3 has ever been given out for public use, all the rest is guarded.
/// </remarks>
internal sealed class AddressGuard(HostAddresses hostAddresses)
{
    private static readonly GuardedRange[] s_ipv4 =
    [
        GuardedRange.Of("0.0.0.0/8", "unspecified"),
        GuardedRange.Of("10.0.0.0/8", "private"),
        GuardedRange.Of("100.64.0.0/10", "carrier-grade NAT"),
        GuardedRange.Of("127.0.0.0/8", "loopback"),
        GuardedRange.Of("168.63.129.16/32", "cloud platform"),
        GuardedRange.Of("169.254.0.0/16", "link-local"),
        GuardedRange.Of("172.16.0.0/12", "private"),
        GuardedRange.Of("192.0.0.0/24", "protocol assignments"),
        GuardedRange.Of("192.0.2.0/24", "documentation"),
        GuardedRange.Of("192.88.99.0/24", "6to4 relay"),
        GuardedRange.Of("192.168.0.0/16", "private"),
        GuardedRange.Of("198.18.0.0/15", "benchmarking"),
        GuardedRange.Of("198.51.100.0/24", "documentation"),
        GuardedRange.Of("203.0.113.0/24", "documentation"),
        GuardedRange.Of("224.0.0.0/4", "multicast"),
        GuardedRange.Of("255.255.255.255/32", "broadcast"),
        GuardedRange.Of("240.0.0.0/4", "reserved"),
    ];

    private static readonly GuardedRange[] s_ipv6 =
    [
        GuardedRange.Of("::/128", "unspecified"),
        GuardedRange.Of("::1/128", "loopback"),
        GuardedRange.Of("::ffff:0:0/96", "IPv4-mapped", EmbeddedForm.LastFour),
        GuardedRange.Of("::/96", "IPv4-compatible", EmbeddedForm.LastFour),
        GuardedRange.Of("::ffff:0:0:0/96", "IPv4-translated", EmbeddedForm.LastFour),
        GuardedRange.Of("64:ff9b::/96", "NAT64", EmbeddedForm.LastFour),
        GuardedRange.Of("64:ff9b:1::/48", "local NAT64", EmbeddedForm.LocalNat64),
        GuardedRange.Of("100::/64", "discard-only"),
        GuardedRange.Of("100:0:0:1::/64", "dummy prefix"),
        GuardedRange.Of("2001::/32", "Teredo", EmbeddedForm.Teredo),
        GuardedRange.Of("2001::/23", "protocol assignments"),
        GuardedRange.Of("2001:db8::/32", "documentation"),
        GuardedRange.Of("2002::/16", "6to4", EmbeddedForm.SixToFour),
        GuardedRange.Of("3fff::/20", "documentation"),
        GuardedRange.Of("5f00::/16", "segment routing"),
        GuardedRange.Of("fc00::/7", "unique local"),
        GuardedRange.Of("fe80::/10", "link-local"),
        GuardedRange.Of("fec0::/10", "site-local"),
        GuardedRange.Of("ff00::/8", "multicast"),
        GuardedRange.Of("::/3", "reserved"),
        GuardedRange.Of("4000::/2", "reserved"),
        GuardedRange.Of("8000::/1", "reserved"),
    ];

    /// <summary>Judges an address.</summary>
    internal AddressVerdict Judge(IPAddress address)
    {
        bool ipv4 = address.AddressFamily == AddressFamily.InterNetwork;
        UInt128 bits = AddressBits.Of(address);
        foreach (GuardedRange range in ipv4 ? s_ipv4 : s_ipv6)
        {
            if (!range.Contains(bits))
            {
                continue;
            }

            // An address of the host in a private range is the host's own first of all; loopback is that by nature.
            return !IPAddress.IsLoopback(address) && hostAddresses.Contains(address)
                ? OwnAddress(ipv4)
                : new AddressVerdict(range.Name, range.Prefix, range.EmbeddedIn(address));
        }

        return hostAddresses.Contains(address) ? OwnAddress(ipv4) : AddressVerdict.Public;
    }

    private static AddressVerdict OwnAddress(bool ipv4) => new("the host's own address", ipv4 ? 32 : 128, []);
}
