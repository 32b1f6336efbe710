using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Records;

namespace OpenSandbox.Host.Previews;

/// <summary>Who may see a preview. What proves it is not passed on to the program in the sandbox.</summary>
internal static class PreviewAccess
{
    internal const string TokenHeader = "X-OC-Preview-Token";
    internal const string TokenCookie = "oc_preview_token";
    internal const string BearerPrefix = "Bearer ";

    /// <summary>Checks the request's token.</summary>
    /// <exception cref="ApiException">401: it is needed, and is not there or wrong.</exception>
    internal static void Check(HttpContext context, SandboxEntry entry)
    {
        if (entry.PreviewTokenDigest is not { } digest)
        {
            return;
        }

        HttpRequest request = context.Request;
        string authorization = request.Headers.Authorization.ToString();
        bool allowed = Is(request.Headers[TokenHeader].ToString())
            || (authorization.StartsWith(BearerPrefix, StringComparison.OrdinalIgnoreCase) && Is(authorization[BearerPrefix.Length..].Trim()))
            || Is(request.Cookies[TokenCookie]);
        if (!allowed)
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            throw new ApiException(StatusCodes.Status401Unauthorized, $"this preview needs its token, as Authorization: Bearer, {TokenHeader} or cookie {TokenCookie}")
            {
                Code = "preview_token",
            };
        }

        bool Is(string? token) => token is { Length: > 0 } && PreviewToken.Matches(token, digest);
    }
}
