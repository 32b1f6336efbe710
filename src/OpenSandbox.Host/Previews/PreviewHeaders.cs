using System.Buffers;
using System.Collections.Frozen;
using System.Globalization;
using System.Net.Http.Headers;
using Microsoft.Extensions.Primitives;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Previews;

/// <summary>Which headers go through a preview, and how they and the target are changed.</summary>
internal sealed class PreviewHeaders(ApiKeyStore keys, ServerOptions options)
{
    /// <summary>What concerns one connection only.</summary>
    private static readonly FrozenSet<string> s_hop = new[]
    {
        "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
    }.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    /// <summary>What this server says itself, or has done already.</summary>
    private static readonly FrozenSet<string> s_own = new[]
    {
        "Host", "Content-Length", "Expect", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
        "X-Forwarded-Prefix", PreviewAccess.TokenHeader,
    }.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    /// <summary>What would reach beyond the program's own pages where it shares the server's host name.</summary>
    private static readonly FrozenSet<string> s_originWide = new[]
    {
        "Set-Cookie", "Clear-Site-Data", "Service-Worker-Allowed", "Strict-Transport-Security",
    }.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    /// <summary>What cannot be written into a header.</summary>
    private static readonly SearchValues<char> s_control =
        SearchValues.Create([.. Enumerable.Range(0, 32).Where(static c => c != '\t').Select(static c => (char)c), '\x7f']);

    /// <summary>
    /// A page that shares the server's host name is not of the server's origin: it could use the API of a server without keys in the name of
    /// whoever looks at it.
    /// </summary>
    private const string Apart = "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts";

    /// <summary>Where a request goes: as it was written, without the server's keys. What the path means is the program's to decide.</summary>
    /// <exception cref="ApiException">400: it is no target.</exception>
    internal Uri UriOf(PreviewTarget target, string raw) =>
        raw.StartsWith('/') && !raw.AsSpan().ContainsAnyExceptInRange('!', '~')
            ? new Uri(
                string.Create(CultureInfo.InvariantCulture, $"http://{target.SandboxId}:{target.Port}{WithoutKeys(raw[target.Prefix.Length..])}"),
                new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true })
            : throw ApiException.Bad("the request's target must begin with a slash, and be of visible ASCII characters");

    /// <summary>Copies a request's.</summary>
    internal void CopyRequest(HttpContext context, PreviewTarget target, SandboxEntry entry, HttpRequestMessage to, bool upgrade)
    {
        HttpRequest from = context.Request;
        FrozenSet<string> named = NamedIn(from.Headers.Connection);
        foreach ((string name, StringValues values) in from.Headers)
        {
            if (s_hop.Contains(name) || s_own.Contains(name) || named.Contains(name) || name.StartsWith(':'))
            {
                continue;
            }

            string[] kept = name switch
            {
                _ when Is(name, "Cookie") => target.Prefix.Length > 0 ? [] : WithoutToken(values),
                _ when Is(name, "Referer") => [.. values.OfType<string>().Select(WithoutKeys)],
                _ when Is(name, "Authorization") => [.. values.OfType<string>().Where(value => !IsOurs(value, entry))],
                _ when Is(name, "X-API-Key") => [.. values.OfType<string>().Where(value => !keys.Accepts(value, out _))],
                _ => [.. values.OfType<string>()],
            };
            if (kept.Length > 0 && !to.Headers.TryAddWithoutValidation(name, kept))
            {
                to.Content?.Headers.TryAddWithoutValidation(name, kept);
            }
        }

        to.Headers.Host = from.Host.Value;
        string client = context.Connection.RemoteIpAddress?.ToString() ?? "unknown";
        // Only who is behind a proxy of its own has been told by it where requests come from.
        string before = options.PublicUrl is null ? "" : from.Headers["X-Forwarded-For"].ToString();
        to.Headers.TryAddWithoutValidation("X-Forwarded-For", before.Length > 0 ? $"{before}, {client}" : client);
        to.Headers.TryAddWithoutValidation("X-Forwarded-Host", from.Host.Value);
        to.Headers.TryAddWithoutValidation("X-Forwarded-Proto", options.PublicUrl?.Scheme ?? from.Scheme);
        if (target.Prefix.Length > 0)
        {
            to.Headers.TryAddWithoutValidation("X-Forwarded-Prefix", target.Prefix);
        }

        if (upgrade)
        {
            to.Headers.TryAddWithoutValidation("Connection", "Upgrade");
            to.Headers.TryAddWithoutValidation("Upgrade", "websocket");
        }
    }

    /// <summary>Copies an answer's.</summary>
    internal static void CopyResponse(HttpResponseMessage from, HttpResponse to, PreviewTarget target, bool upgrade)
    {
        FrozenSet<string> named = NamedIn(new StringValues([.. from.Headers.Connection]));
        Copy(from.Headers.NonValidated, to, named, target);
        Copy(from.Content.Headers.NonValidated, to, named, target);
        if (from.Headers.TransferEncodingChunked == true)
        {
            to.Headers.ContentLength = null; // who says both is cut into pieces, and means the pieces
        }

        if (upgrade)
        {
            to.Headers.Upgrade = "websocket";
        }

        if (target.Prefix.Length > 0)
        {
            to.Headers.Append("Content-Security-Policy", Apart);
        }
    }

    private static void Copy(HttpHeadersNonValidated from, HttpResponse to, FrozenSet<string> named, PreviewTarget target)
    {
        foreach ((string name, HeaderStringValues values) in from)
        {
            if (!s_hop.Contains(name) && !named.Contains(name) && !(target.Prefix.Length > 0 && s_originWide.Contains(name)))
            {
                string[] kept = [.. values.Where(static value => !value.AsSpan().ContainsAny(s_control))];
                if (kept.Length > 0 && !(Is(name, "Content-Length") && !IsLength(kept)))
                {
                    to.Headers[name] = kept;
                }
            }
        }
    }

    /// <summary>Whether a length is one: without, an answer goes on until it ends.</summary>
    private static bool IsLength(string[] values) => values is [string one] && long.TryParse(one, NumberStyles.None, CultureInfo.InvariantCulture, out _);

    private static FrozenSet<string> NamedIn(StringValues connection) => connection
        .SelectMany(static value => (value ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        .ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    private bool IsOurs(string authorization, SandboxEntry entry)
    {
        if (!authorization.StartsWith(PreviewAccess.BearerPrefix, StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        string token = authorization[PreviewAccess.BearerPrefix.Length..].Trim();
        return (entry.PreviewTokenDigest is { } digest && PreviewToken.Matches(token, digest)) || keys.Accepts(token, out _);
    }

    /// <summary>An address without the parameters of its query that hold one of the server's keys.</summary>
    private string WithoutKeys(string address)
    {
        int mark = address.IndexOf('?', StringComparison.Ordinal);
        if (mark < 0 || !keys.IsRequired)
        {
            return address;
        }

        string[] parameters = address[(mark + 1)..].Split('&');
        string[] kept = [.. parameters.Where(parameter => !IsKey(parameter))];
        return kept.Length == parameters.Length ? address
            : kept.Length == 0 ? address[..mark]
            : $"{address[..(mark + 1)]}{string.Join('&', kept)}";
    }

    private bool IsKey(string parameter)
    {
        int mark = parameter.IndexOf('=', StringComparison.Ordinal);
        return mark > 0 && Is(Decode(parameter[..mark]), AccessMiddleware.KeyQuery) && keys.Accepts(Decode(parameter[(mark + 1)..]), out _);

        static string Decode(string text) => Uri.UnescapeDataString(text.Replace('+', ' '));
    }

    private static string[] WithoutToken(StringValues cookies)
    {
        const string mark = PreviewAccess.TokenCookie + "=";
        string rest = string.Join("; ", cookies
            .SelectMany(static line => (line ?? "").Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
            .Where(static cookie => !cookie.StartsWith(mark, StringComparison.Ordinal)));
        return rest.Length > 0 ? [rest] : [];
    }

    private static bool Is(string name, string other) => string.Equals(name, other, StringComparison.OrdinalIgnoreCase);
}
