using System.Net;
using System.Text;

namespace OpenSandbox.Vmm;

/// <summary>The upstream servers: those given, or those that the host itself uses.</summary>
/// <remarks>Thread-safe. The host's file is read again when it has changed (a laptop that moves, a VPN that comes up).</remarks>
internal sealed class DnsServers
{
    /// <summary>As many as the C library takes from the file.</summary>
    internal const int MaxServers = 3;

    private const int MaxFileSize = 65_536;
    private const int Port = 53;

    private readonly string _path;
    private readonly IPEndPoint[]? _given;
    private volatile Reading _reading = new(default, []);

    internal DnsServers(IReadOnlyList<IPEndPoint>? given, string path)
    {
        _given = given is null ? null : [.. given];
        _path = path;
    }

    /// <summary>The servers now; empty: none are known.</summary>
    internal IPEndPoint[] Current
    {
        get
        {
            if (_given is not null)
            {
                return _given;
            }

            try
            {
                // One stat a query; for a missing file the time is a constant, and the list stays empty.
                DateTime changed = File.GetLastWriteTimeUtc(_path);
                if (_reading.Changed != changed)
                {
                    _reading = new Reading(changed, Read(_path));
                }
            }
            catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
            {
                // It is being replaced, or was taken away: what was known is used until it can be read again.
            }

            return _reading.Servers;
        }
    }

    /// <summary>Reads the <c>nameserver</c> lines of a file in resolv.conf(5)'s format.</summary>
    internal static IPEndPoint[] Parse(string content)
    {
        var servers = new List<IPEndPoint>();
        foreach (string line in content.Split('\n'))
        {
            string[] words = line.Split((char[])[' ', '\t', '\r'], StringSplitOptions.RemoveEmptyEntries);
            if (words is ["nameserver", string address, ..] && IPAddress.TryParse(address, out IPAddress? server) && servers.Count < MaxServers)
            {
                servers.Add(new IPEndPoint(server, Port));
            }
        }

        return [.. servers];
    }

    private static IPEndPoint[] Read(string path)
    {
        if (!File.Exists(path))
        {
            return [];
        }

        using FileStream file = File.OpenRead(path);
        Span<byte> content = stackalloc byte[4_096];
        var text = new StringBuilder();
        int count;
        while (text.Length < MaxFileSize && (count = file.Read(content)) > 0)
        {
            text.Append(Encoding.Latin1.GetString(content[..count]));
        }

        return Parse(text.ToString());
    }

    private sealed record Reading(DateTime Changed, IPEndPoint[] Servers);
}
