using System.Globalization;

namespace OpenSandbox.Cli.Forwarding;

/// <summary>A port here and the one in the sandbox that it leads to.</summary>
/// <param name="Local">Port here; 0: any that is free.</param>
/// <param name="Remote">Port in the sandbox.</param>
internal sealed record PortPair(int Local, int Remote)
{
    /// <summary>Reads <c>8080</c>, which is the same here and there, and <c>80:8080</c>, here and there.</summary>
    /// <exception cref="UsageException">It is neither.</exception>
    internal static PortPair Parse(string text)
    {
        string[] parts = text.Split(':');
        return parts.Length <= 2 && TryParse(parts[0], least: parts.Length - 1 == 0 ? 1 : 0, out int local) && TryParse(parts[^1], least: 1, out int remote)
            ? new PortPair(local, remote)
            : throw new UsageException($"'{text}' is not a port, nor two as in 8080:80; they are from 1 to {ushort.MaxValue}, and 0 here for any that is free");
    }

    private static bool TryParse(string text, int least, out int port) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out port) && port >= least && port <= ushort.MaxValue;
}
