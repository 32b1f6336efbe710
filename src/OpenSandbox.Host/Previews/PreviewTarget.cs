using System.Globalization;

namespace OpenSandbox.Host.Previews;

/// <summary>Which port of which sandbox a request is for.</summary>
/// <param name="SandboxId">The sandbox.</param>
/// <param name="Port">1 to 65,535.</param>
/// <param name="Prefix">What stands before the path that the program in the sandbox sees; empty with a host name of its own.</param>
internal readonly record struct PreviewTarget(string SandboxId, int Port, string Prefix)
{
    /// <summary>The path form's first segment.</summary>
    internal const string PathRoot = "/preview";

    private const string SandboxPrefix = "sb-";
    private const string PortMark = "-p";
    private const int MaxLabel = 63;

    /// <summary>The host name of a port.</summary>
    internal static string HostOf(string sandboxId, int port, string domain) =>
        string.Create(CultureInfo.InvariantCulture, $"{sandboxId}{PortMark}{port}.{domain}");

    /// <summary>Whether a host name is one of a sandbox's: it is never served by anything but that sandbox.</summary>
    internal static bool IsPreviewHost(string host, string domain) => LabelOf(host, domain) is not null;

    /// <summary>Reads <c>SANDBOX-pPORT.DOMAIN</c>.</summary>
    internal static bool TryFromHost(string host, string domain, out PreviewTarget target)
    {
        target = default;
        if (LabelOf(host, domain) is not { } label)
        {
            return false;
        }

        int mark = label.LastIndexOf(PortMark, StringComparison.Ordinal);
        return mark > 0 && TryRead(label[..mark], label[(mark + PortMark.Length)..], "", out target);
    }

    /// <summary>Reads <c>/preview/SANDBOX/PORT</c>.</summary>
    internal static bool TryFromPath(string sandboxId, string port, out PreviewTarget target) =>
        TryRead(sandboxId, port, $"{PathRoot}/{sandboxId}/{port}", out target);

    private static bool TryRead(string sandboxId, string port, string prefix, out PreviewTarget target)
    {
        target = default;
        if (sandboxId.Length is 0 or > MaxLabel
            || sandboxId.Any(static c => !char.IsAsciiLetterLower(c) && !char.IsAsciiDigit(c) && c != '-')
            || port.Length == 0 || port[0] == '0'
            || !ushort.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out ushort number))
        {
            return false;
        }

        target = new PreviewTarget(sandboxId, number, prefix);
        return true;
    }

    // Names are the same in capitals, and with the dot of the root behind them.
    private static string? LabelOf(string host, string domain)
    {
        string name = host.TrimEnd('.').ToLowerInvariant();
        int label = name.Length - domain.Length - 1;
        return label is > 0 and <= MaxLabel
            && name[label] == '.'
            && name.EndsWith(domain, StringComparison.OrdinalIgnoreCase)
            && name.StartsWith(SandboxPrefix, StringComparison.Ordinal)
            && !name.AsSpan(0, label).Contains('.')
                ? name[..label]
                : null;
    }
}
