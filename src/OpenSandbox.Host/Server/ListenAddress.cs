using System.Globalization;
using System.Net;

namespace OpenSandbox.Host;

/// <summary>Where the server listens: a TCP address and port, or a Unix socket.</summary>
/// <param name="EndPoint">The TCP endpoint; <see langword="null"/> for a Unix socket.</param>
/// <param name="SocketPath">Absolute path of the Unix socket; <see langword="null"/> for TCP.</param>
public sealed record ListenAddress(IPEndPoint? EndPoint, string? SocketPath)
{
    private const string UnixPrefix = "unix:";
    private const int MaxSocketPath = 107; // struct sockaddr_un, less the terminating zero

    /// <summary>The default: loopback, port 8080.</summary>
    public static ListenAddress Default { get; } = new(new IPEndPoint(IPAddress.Loopback, 8_080), null);

    /// <summary>Whether only programs of this machine can connect.</summary>
    public bool IsLocal => EndPoint is null || IPAddress.IsLoopback(EndPoint.Address);

    /// <summary>Reads <c>ADDRESS:PORT</c>, <c>[IPV6]:PORT</c>, <c>localhost:PORT</c>, <c>:PORT</c> (loopback) or <c>unix:PATH</c>.</summary>
    /// <param name="text">The text.</param>
    /// <exception cref="FormatException">It is none of these; the message says what is wrong.</exception>
    public static ListenAddress Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.StartsWith(UnixPrefix, StringComparison.Ordinal))
        {
            string path = text[UnixPrefix.Length..];
            if (path.Length == 0 || System.Text.Encoding.UTF8.GetByteCount(Path.GetFullPath(path)) > MaxSocketPath)
            {
                throw new FormatException($"'{text}': a socket needs a path of at most {MaxSocketPath} bytes");
            }

            return new ListenAddress(null, Path.GetFullPath(path));
        }

        int colon = text.LastIndexOf(':');
        if (colon < 0 || !ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port))
        {
            throw new FormatException($"'{text}': expected ADDRESS:PORT or unix:PATH, such as 127.0.0.1:8080");
        }

        string host = text[..colon];
        IPAddress? address = host switch
        {
            "" or "localhost" => IPAddress.Loopback,
            "*" => IPAddress.Any,
            ['[', .. string inner, ']'] when IPAddress.TryParse(inner, out IPAddress? six) && six.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6 => six,
            _ when !host.Contains(':', StringComparison.Ordinal) && IPAddress.TryParse(host, out IPAddress? four) => four,
            _ => null,
        };
        return address is null
            ? throw new FormatException($"'{text}': '{host}' is no IP address (an IPv6 address needs brackets)")
            : new ListenAddress(new IPEndPoint(address, port), null);
    }

    /// <inheritdoc/>
    public override string ToString() => EndPoint?.ToString() ?? UnixPrefix + SocketPath;
}
