using System.Net;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Protection;

namespace OpenSandbox.Host.Security;

/// <summary>Who may use the server: keys, and for a server without keys the origin of the request.</summary>
/// <remarks>
/// A server without keys trusts every program of its machine, but not web pages that a browser on it shows: such a request has an Origin,
/// or a Host that is a name of the page's choosing (DNS rebinding).
/// </remarks>
internal sealed class AccessMiddleware(RequestDelegate next, ApiKeyStore keys, RequestRates rates, ServerOptions options)
{
    /// <summary>The client's id in <see cref="HttpContext.Items"/>.</summary>
    internal static readonly object ClientId = new();

    /// <summary>The parameter of a query that a key can be given as.</summary>
    internal const string KeyQuery = "api_key";

    private const string KeyHeader = "X-API-Key";
    private const string BearerPrefix = "Bearer ";

    public async Task InvokeAsync(HttpContext context)
    {
        if (context.GetEndpoint()?.Metadata.GetMetadata<OpenAccess>() is { } open)
        {
            if (!keys.IsRequired && !open.FromAnywhere)
            {
                CheckOrigin(context);
            }

            if (!open.IsProbe)
            {
                rates.CountAddress(context);
            }

            await next(context).ConfigureAwait(false);
            return;
        }

        AllowOtherOrigins(context);
        if (IsPreflight(context))
        {
            rates.CountAddress(context);
            context.Response.StatusCode = StatusCodes.Status204NoContent;
            return;
        }

        if (keys.IsRequired)
        {
            string key = KeyOf(context.Request);
            if (key.Length == 0)
            {
                rates.CountAddress(context);
                throw new ApiException(StatusCodes.Status401Unauthorized, "missing API key");
            }

            if (!keys.Accepts(key, out string client))
            {
                rates.CountAddress(context); // keys cannot be guessed faster than that
                throw new ApiException(StatusCodes.Status403Forbidden, "invalid API key");
            }

            context.Items[ClientId] = client;
            rates.CountClient(client);
        }
        else
        {
            CheckOrigin(context);
            rates.CountAddress(context);
        }

        await next(context).ConfigureAwait(false);
    }

    private static string KeyOf(HttpRequest request)
    {
        string header = request.Headers[KeyHeader].ToString();
        if (header.Length > 0)
        {
            return header;
        }

        string authorization = request.Headers.Authorization.ToString();
        return authorization.StartsWith(BearerPrefix, StringComparison.OrdinalIgnoreCase)
            ? authorization[BearerPrefix.Length..].Trim()
            : request.Query[KeyQuery].ToString();
    }

    private void AllowOtherOrigins(HttpContext context)
    {
        if (keys.IsRequired)
        {
            IHeaderDictionary headers = context.Response.Headers;
            headers.AccessControlAllowOrigin = "*"; // who has the key may use it from any page
            headers.AccessControlExposeHeaders = "X-Request-Id, Retry-After";
        }
    }

    /// <summary>Whether a browser asks what a page may do, which it does without the key; it is told all that there is.</summary>
    private bool IsPreflight(HttpContext context)
    {
        HttpRequest request = context.Request;
        if (!keys.IsRequired || !HttpMethods.IsOptions(request.Method) || request.Headers.AccessControlRequestMethod.Count == 0)
        {
            return false;
        }

        IHeaderDictionary headers = context.Response.Headers;
        headers.AccessControlAllowMethods = "GET, POST, PUT, DELETE";
        headers.AccessControlAllowHeaders = "Accept, Authorization, Content-Type, X-API-Key, X-OSB-Async-Wake, X-Request-Id";
        headers.AccessControlMaxAge = "3600";
        return true;
    }

    private void CheckOrigin(HttpContext context)
    {
        HttpRequest request = context.Request;
        if (request.Host.HasValue && !IsOwnName(request.Host.Host))
        {
            throw new ApiException(
                StatusCodes.Status403Forbidden,
                $"the server has no API key and answers only to its own names, not to '{request.Host.Host}'; set a key to use others");
        }

        string origin = request.Headers.Origin.ToString();
        if (origin.Length > 0 && !(Uri.TryCreate(origin, UriKind.Absolute, out Uri? from)
            && string.Equals(from.Authority, request.Host.Value, StringComparison.OrdinalIgnoreCase)))
        {
            throw new ApiException(
                StatusCodes.Status403Forbidden, $"the server has no API key and takes nothing from web pages of others ({origin}); set a key to allow it");
        }
    }

    private bool IsOwnName(string host)
    {
        string name = host.Trim('[', ']');
        return string.Equals(name, "localhost", StringComparison.OrdinalIgnoreCase)
            || name.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase)
            || string.Equals(name, options.PreviewDomain, StringComparison.OrdinalIgnoreCase)
            || string.Equals(name, options.PublicUrl?.Host, StringComparison.OrdinalIgnoreCase)
            || IPAddress.TryParse(name, out _)
            || options.Listen.SocketPath is not null;
    }
}
