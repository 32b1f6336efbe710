using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Vmm;

/// <summary>Reads rules from text, strictly: what could be meant in two ways is refused.</summary>
internal static class EgressRuleParser
{
    /// <summary>Longer texts are no rule: 32 port ranges beside the longest name, with room to spare.</summary>
    private const int MaxLength = 1_024;

    internal static EgressRule Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return TryRead(text, out EgressRule? rule, out string problem) ? rule : throw new ArgumentException($"'{Shown(text)}': {problem}", nameof(text));
    }

    internal static EgressRule Parse(EgressAction action, string target)
    {
        ArgumentNullException.ThrowIfNull(target);
        return TryReadTarget(action, target, out EgressRule? rule, out string problem)
            ? rule
            : throw new ArgumentException($"'{Shown(target)}': {problem}", nameof(target));
    }

    internal static bool TryParse([NotNullWhen(true)] string? text, [NotNullWhen(true)] out EgressRule? rule)
    {
        rule = null;
        return text is not null && TryRead(text, out rule, out _);
    }

    private static string Shown(string text) => text.Length <= 100 ? text : string.Concat(text.AsSpan(0, 100), "...");

    private static bool TryRead(string text, [NotNullWhen(true)] out EgressRule? rule, out string problem)
    {
        rule = null;
        string trimmed = text.Trim();
        int space = trimmed.AsSpan().IndexOfAny(' ', '\t');
        if (space < 0)
        {
            problem = "a rule is an action and a target, such as 'allow *.example.org:443'";
            return false;
        }

        EgressAction? action = trimmed[..space].ToUpperInvariant() switch
        {
            "ALLOW" => EgressAction.Allow,
            "DENY" => EgressAction.Deny,
            _ => null,
        };
        if (action is null)
        {
            problem = "the action must be 'allow' or 'deny'";
            return false;
        }

        return TryReadTarget(action.Value, trimmed[(space + 1)..], out rule, out problem);
    }

    private static bool TryReadTarget(EgressAction action, string text, [NotNullWhen(true)] out EgressRule? rule, out string problem)
    {
        rule = null;
        string target = text.Trim();
        if (target.Length is 0 or > MaxLength)
        {
            problem = $"a target has 1 to {MaxLength} characters";
            return false;
        }

        if (target.Contains("://", StringComparison.Ordinal))
        {
            problem = "a target is a name or an address, not a URL";
            return false;
        }

        if (!TrySplitPorts(target, out string host, out bool bracketed, out EgressPortRange[] ports, out problem))
        {
            return false;
        }

        if (host == "*" && !bracketed)
        {
            rule = new EgressRule(action, EgressTargetKind.Any, "*", null, ports);
            return true;
        }

        if (host.Contains('/', StringComparison.Ordinal) || host.Contains(':', StringComparison.Ordinal) || LooksLikeIPv4(host))
        {
            if (!TryReadNetwork(host, bracketed, out IPNetwork network, out bool single, out problem))
            {
                return false;
            }

            rule = new EgressRule(
                action,
                single ? EgressTargetKind.Address : EgressTargetKind.Network,
                single ? network.BaseAddress.ToString() : network.ToString(),
                network,
                ports);
            return true;
        }

        if (bracketed)
        {
            problem = "brackets are for IPv6 addresses";
            return false;
        }

        bool wildcard = host.StartsWith("*.", StringComparison.Ordinal);
        if (!DomainName.TryNormalize(wildcard ? host[2..] : host, out string? domain, out problem))
        {
            return false;
        }

        rule = new EgressRule(
            action, wildcard ? EgressTargetKind.Subdomains : EgressTargetKind.Domain, wildcard ? $"*.{domain}" : domain, null, ports);
        return true;
    }

    private static bool TrySplitPorts(string target, out string host, out bool bracketed, out EgressPortRange[] ports, out string problem)
    {
        ports = [];
        problem = "";
        bracketed = target[0] == '[';
        string? list = null;
        if (bracketed)
        {
            int end = target.IndexOf(']', StringComparison.Ordinal);
            host = end < 0 ? "" : target[1..end];
            string rest = end < 0 ? "" : target[(end + 1)..];
            if (end < 0 || (rest.Length > 0 && rest[0] != ':'))
            {
                problem = "an IPv6 address with ports is written [ADDRESS]:PORTS";
                return false;
            }

            list = rest.Length > 0 ? rest[1..] : null;
        }
        else
        {
            int colon = target.IndexOf(':', StringComparison.Ordinal);
            // Several colons are an IPv6 address, which has no ports without brackets.
            bool one = colon >= 0 && target.IndexOf(':', colon + 1) < 0;
            host = one ? target[..colon] : target;
            list = one ? target[(colon + 1)..] : null;
        }

        return list is null || TryReadPorts(list, out ports, out problem);
    }

    private static bool TryReadPorts(string list, out EgressPortRange[] ports, out string problem)
    {
        string[] parts = list.Split(',');
        ports = new EgressPortRange[parts.Length];
        if (parts.Length > EgressRule.MaxPortRanges)
        {
            problem = $"a rule has at most {EgressRule.MaxPortRanges} ports and ranges";
            return false;
        }

        for (int i = 0; i < parts.Length; i++)
        {
            string part = parts[i].Trim();
            int dash = part.IndexOf('-', StringComparison.Ordinal);
            string firstText = dash < 0 ? part : part[..dash];
            string lastText = dash < 0 ? part : part[(dash + 1)..];
            if (!TryReadPort(firstText, out int first) || !TryReadPort(lastText, out int last) || first > last)
            {
                problem = $"'{part}' is no port (1 to 65535) and no range of ports such as 8000-8999";
                return false;
            }

            ports[i] = new EgressPortRange(first, last);
        }

        problem = "";
        return true;
    }

    private static bool TryReadPort(string text, out int port) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out port) && port is >= 1 and <= 65_535;

    private static bool LooksLikeIPv4(string host) => host.All(static c => char.IsAsciiDigit(c) || c == '.');

    private static bool TryReadNetwork(string text, bool bracketed, out IPNetwork network, out bool single, out string problem)
    {
        network = default;
        int slash = text.IndexOf('/', StringComparison.Ordinal);
        string addressText = slash < 0 ? text : text[..slash];
        single = slash < 0;
        if (!TryReadAddress(addressText, out IPAddress? address))
        {
            problem = "it is neither an IP address, nor a range such as 10.0.0.0/8, nor a name";
            return false;
        }

        if (bracketed && address.AddressFamily == AddressFamily.InterNetwork)
        {
            problem = "brackets are for IPv6 addresses";
            return false;
        }

        int longest = address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128;
        int prefix = longest;
        if (slash >= 0
            && (!int.TryParse(text.AsSpan(slash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out prefix) || prefix > longest))
        {
            problem = $"the prefix length must be 0 to {longest}";
            return false;
        }

        network = new IPNetwork(AddressBits.Mask(address, prefix), prefix);
        single = prefix == longest;
        problem = "";
        return true;
    }

    /// <summary>Dotted quads and IPv6 only: the runtime also takes <c>1</c>, <c>0x7f.1</c> and octal numbers, which mean what nobody reads.</summary>
    private static bool TryReadAddress(string text, [NotNullWhen(true)] out IPAddress? address)
    {
        address = null;
        if (text.Contains(':', StringComparison.Ordinal))
        {
            return !text.Contains('%', StringComparison.Ordinal)
                && !text.Contains('[', StringComparison.Ordinal)
                && IPAddress.TryParse(text, out address)
                && address.AddressFamily == AddressFamily.InterNetworkV6;
        }

        string[] parts = text.Split('.');
        Span<byte> bytes = stackalloc byte[4];
        if (parts.Length != 4)
        {
            return false;
        }

        for (int i = 0; i < 4; i++)
        {
            if (!byte.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out bytes[i])
                || (parts[i].Length > 1 && parts[i][0] == '0'))
            {
                return false;
            }
        }

        address = new IPAddress(bytes);
        return true;
    }
}
