using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace OpenSandbox.Agent;

/// <summary>
/// One HTTP/1.1 request as the metadata service takes it: a small part of RFC 9112 with fixed bounds, for senders that are not trusted.
/// Lines end with CRLF; there is no transfer coding, no continuation of header lines.
/// </summary>
/// <param name="Method">The method, upper-case letters.</param>
/// <param name="Path">Path of the target, without its query.</param>
/// <param name="HeadLength">Bytes up to the body.</param>
/// <param name="BodyLength">Bytes of the body.</param>
internal readonly record struct HttpRequest(string Method, string Path, int HeadLength, int BodyLength)
{
    /// <summary>The longest request line with all headers, bytes.</summary>
    internal const int MaxHead = 8 * 1024;

    /// <summary>The longest body, bytes.</summary>
    internal const int MaxBody = 4 * 1024;

    private const int MaxMethod = 16;
    private const int MaxPath = 1024;

    private static readonly SearchValues<byte> s_tokenBytes =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"u8);

    private static readonly SearchValues<byte> s_visibleBytes = SearchValues.Create(
        "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"u8);

    /// <summary>Parses what has come so far.</summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="request">The request, when its head is complete.</param>
    /// <returns>Whether the head is complete; <see langword="null"/>: this will never be a request.</returns>
    internal static bool? TryParse(ReadOnlySpan<byte> bytes, out HttpRequest request)
    {
        request = default;
        int end = bytes.IndexOf("\r\n\r\n"u8);
        if (end < 0)
        {
            return bytes.Length >= MaxHead ? null : false;
        }

        if (end + 4 > MaxHead)
        {
            return null;
        }

        ReadOnlySpan<byte> head = bytes[..(end + 2)];
        int line = head.IndexOf("\r\n"u8);
        if (!TryParseLine(head[..line], out string? method, out string? path) || !TryParseHeaders(head[(line + 2)..], out int length))
        {
            return null;
        }

        request = new HttpRequest(method!, path!, end + 4, length);
        return true;
    }

    private static bool TryParseLine(ReadOnlySpan<byte> line, out string? method, out string? path)
    {
        method = path = null;
        int first = line.IndexOf((byte)' ');
        int last = line.LastIndexOf((byte)' ');
        if (first is <= 0 or > MaxMethod || last == first || !(line[(last + 1)..] is [(byte)'H', (byte)'T', (byte)'T', (byte)'P', (byte)'/', (byte)'1', (byte)'.', (byte)'0' or (byte)'1']))
        {
            return false;
        }

        ReadOnlySpan<byte> name = line[..first];
        ReadOnlySpan<byte> target = line[(first + 1)..last];
        if (name.ContainsAnyExceptInRange((byte)'A', (byte)'Z') || target.ContainsAnyExcept(s_visibleBytes))
        {
            return false;
        }

        if (target.StartsWith("http://"u8))
        {
            int slash = target[7..].IndexOf((byte)'/');
            target = slash < 0 ? "/"u8 : target[(7 + slash)..]; // the absolute form that proxies are sent
        }

        int query = target.IndexOf((byte)'?');
        target = query < 0 ? target : target[..query];
        if (target.IsEmpty || target[0] != (byte)'/' || target.Length > MaxPath)
        {
            return false;
        }

        method = Encoding.ASCII.GetString(name);
        path = Encoding.ASCII.GetString(target);
        return true;
    }

    private static bool TryParseHeaders(ReadOnlySpan<byte> headers, out int bodyLength)
    {
        bodyLength = 0;
        bool hasLength = false;
        while (!headers.IsEmpty)
        {
            int end = headers.IndexOf("\r\n"u8);
            ReadOnlySpan<byte> line = headers[..end];
            headers = headers[(end + 2)..];
            int colon = line.IndexOf((byte)':');
            if (colon <= 0 || line[..colon].ContainsAnyExcept(s_tokenBytes) || line.ContainsAny((byte)'\r', (byte)'\n', (byte)0))
            {
                return false;
            }

            ReadOnlySpan<byte> name = line[..colon];
            ReadOnlySpan<byte> value = line[(colon + 1)..].Trim(" \t"u8);
            if (Ascii.EqualsIgnoreCase(name, "transfer-encoding"u8))
            {
                return false;
            }

            if (Ascii.EqualsIgnoreCase(name, "content-length"u8))
            {
                if (hasLength || value.IsEmpty || value.ContainsAnyExceptInRange((byte)'0', (byte)'9')
                    || !Utf8Parser.TryParse(value, out bodyLength, out int used) || used != value.Length || bodyLength > MaxBody)
                {
                    return false;
                }

                hasLength = true;
            }
        }

        return true;
    }
}
