using System.Globalization;
using System.Net;

namespace OpenSandbox.Vmm;

/// <summary>Names that do not belong to the public DNS.</summary>
internal static class ReservedNames
{
    /// <summary>Top-level names that are for private networks or for nobody (RFC 6761, 6762 with its appendix G, 7686, 8375; ICANN for internal).</summary>
    private static readonly HashSet<string> s_topLevel = new(StringComparer.Ordinal)
    {
        "local", "internal", "intranet", "private", "corp", "home", "lan", "onion", "invalid",
    };

    /// <summary><c>localhost</c> and all below it: answered here, with the guest's own loopback (RFC 6761 section 6.3).</summary>
    internal static bool IsLocalhost(string name) => name == "localhost" || name.EndsWith(".localhost", StringComparison.Ordinal);

    /// <summary>Whether a name is sent upstream only if a rule names it: the host's resolver may know it from the host's own network.</summary>
    internal static bool IsReserved(string name)
    {
        int dot = name.LastIndexOf('.');
        string last = name[(dot + 1)..];
        return dot < 0
            || s_topLevel.Contains(last)
            || last.All(char.IsAsciiDigit)
            || name == "home.arpa"
            || name.EndsWith(".home.arpa", StringComparison.Ordinal);
    }

    /// <summary>Whether a name is in the zones in which addresses are turned back into names.</summary>
    internal static bool IsReverse(string name) => IsIn(name, "in-addr.arpa") || IsIn(name, "ip6.arpa");

    /// <summary>The address whose name is asked for; <see langword="null"/>: a part of a zone, which names many.</summary>
    internal static IPAddress? AddressOf(string name)
    {
        string[] labels = name.Split('.');
        if (labels.Length == 6 && IsIn(name, "in-addr.arpa"))
        {
            Span<byte> bytes = stackalloc byte[4];
            for (int i = 0; i < 4; i++)
            {
                if (!byte.TryParse(labels[3 - i], NumberStyles.None, CultureInfo.InvariantCulture, out bytes[i]))
                {
                    return null;
                }
            }

            return new IPAddress(bytes);
        }

        if (labels.Length == 34 && IsIn(name, "ip6.arpa"))
        {
            Span<byte> bytes = stackalloc byte[16];
            for (int i = 0; i < 32; i++)
            {
                string nibble = labels[31 - i];
                if (nibble.Length != 1 || !char.IsAsciiHexDigit(nibble[0]))
                {
                    return null;
                }

                bytes[i / 2] = (byte)((bytes[i / 2] << 4) | Convert.ToInt32(nibble, 16));
            }

            return new IPAddress(bytes);
        }

        return null;
    }

    private static bool IsIn(string name, string zone) =>
        name.EndsWith(zone, StringComparison.Ordinal) && (name.Length == zone.Length || name[^(zone.Length + 1)] == '.');
}
