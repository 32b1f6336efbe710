using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace OpenSandbox.Host.Tests;

/// <summary>HTTP by hand: sends exactly the bytes that a test wants sent.</summary>
internal static class RawHttp
{
    private const int MaxAnswer = 16 << 20;

    internal static async Task<Socket> ConnectAsync(EndPoint server)
    {
        var socket = new Socket(server.AddressFamily, SocketType.Stream, server.AddressFamily == AddressFamily.Unix ? ProtocolType.Unspecified : ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(server, Deadline.In(30));
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>One request on a connection of its own.</summary>
    internal static async Task<RawAnswer> SendAsync(EndPoint server, ReadOnlyMemory<byte> request, int seconds = 60)
    {
        using Socket socket = await ConnectAsync(server);
        Task sending = SendAllAsync(socket, request, Deadline.In(seconds));
        RawAnswer answer = await ReadAsync(socket, Deadline.In(seconds));
        await sending;
        return answer;
    }

    internal static byte[] Request(string method, string target, byte[]? body, params string[] headers)
    {
        var head = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{method} {target} HTTP/1.1\r\n");
        if (!headers.Any(static header => header.StartsWith("Host:", StringComparison.Ordinal)))
        {
            head.Append("Host: localhost\r\n");
        }

        head.Append("Connection: close\r\n");
        foreach (string header in headers)
        {
            head.Append(header).Append("\r\n");
        }

        if (body is not null && !headers.Any(static header => header.StartsWith("Content-Length:", StringComparison.Ordinal) || header.StartsWith("Transfer-Encoding:", StringComparison.Ordinal)))
        {
            head.Append(CultureInfo.InvariantCulture, $"Content-Length: {body.Length}\r\n");
        }

        return [.. Encoding.Latin1.GetBytes(head.Append("\r\n").ToString()), .. body ?? []];
    }

    /// <summary>Reads one answer: as long as it says, else to the end of the connection.</summary>
    internal static async Task<RawAnswer> ReadAsync(Socket socket, CancellationToken cancellationToken)
    {
        var received = new List<byte>();
        byte[] buffer = new byte[64 << 10];
        int headEnd = -1;
        string[] lines = [];
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        int? length = null;
        while (length is null || received.Count < headEnd + length)
        {
            int count = await ReceiveAsync(socket, buffer, cancellationToken);
            if (count == 0)
            {
                break;
            }

            received.AddRange(buffer.AsSpan(0, count));
            Assert.True(received.Count < MaxAnswer, "an endless answer");
            if (headEnd < 0)
            {
                int at = received.ToArray().AsSpan().IndexOf("\r\n\r\n"u8);
                if (at < 0)
                {
                    continue;
                }

                headEnd = at + 4;
                lines = Encoding.Latin1.GetString([.. received[..at]]).Split("\r\n");
                foreach (string line in lines.Skip(1))
                {
                    int colon = line.IndexOf(':', StringComparison.Ordinal);
                    headers[line[..colon]] = line[(colon + 1)..].Trim();
                }

                if (headers.TryGetValue("Content-Length", out string? told))
                {
                    length = int.Parse(told, CultureInfo.InvariantCulture);
                }
                else if (!headers.ContainsKey("Transfer-Encoding") && lines[0].Split(' ')[1] is "204" or "101")
                {
                    length = 0;
                }
            }
        }

        Assert.True(headEnd > 0, $"the connection ended without an answer, after {received.Count} bytes");
        byte[] body = [.. received[headEnd..]];
        return new RawAnswer(
            int.Parse(lines[0].Split(' ')[1], CultureInfo.InvariantCulture), headers, headers.ContainsKey("Transfer-Encoding") ? Unchunk(body) : body);
    }

    /// <summary>What the peer sends until it ends the connection, one way or another.</summary>
    internal static async Task<byte[]> ReadToEndAsync(Socket socket, CancellationToken cancellationToken)
    {
        var received = new List<byte>();
        byte[] buffer = new byte[16 << 10];
        while (await ReceiveAsync(socket, buffer, cancellationToken) is > 0 and int count)
        {
            received.AddRange(buffer.AsSpan(0, count));
        }

        return [.. received];
    }

    private static async Task<int> ReceiveAsync(Socket socket, byte[] buffer, CancellationToken cancellationToken)
    {
        try
        {
            return await socket.ReceiveAsync(buffer, cancellationToken);
        }
        catch (SocketException reset) when (reset.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown)
        {
            return 0;
        }
    }

    private static async Task SendAllAsync(Socket socket, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        try
        {
            while (bytes.Length > 0)
            {
                bytes = bytes[await socket.SendAsync(bytes, cancellationToken)..];
            }
        }
        catch (Exception refused) when (refused is SocketException or ObjectDisposedException)
        {
            // The server has answered before it had read everything: what it said is what counts.
        }
    }

    private static byte[] Unchunk(byte[] chunked)
    {
        var body = new List<byte>();
        ReadOnlySpan<byte> rest = chunked;
        while (rest.IndexOf("\r\n"u8) is >= 0 and int end)
        {
            int size = int.Parse(Encoding.ASCII.GetString(rest[..end]), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            body.AddRange(rest.Slice(end + 2, size));
            rest = rest[(end + 2 + size + 2)..];
            if (size == 0)
            {
                break;
            }
        }

        return [.. body];
    }
}
