using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.Api;

/// <summary>What other servers of this dialect have and this one has not, answered as such; and templates, of which there is one.</summary>
internal static class UnsupportedEndpoints
{
    private static readonly TemplateReply s_base = new("base", "base", "latest", "ready");

    private static readonly (string Pattern, string What)[] s_missing =
    [
        ("/api/secret-stores/{**rest}", "secret stores"),
        ("/api/webhooks/{**rest}", "webhooks"),
        ("/api/sandboxes/{id}/mounts/{**rest}", "mounts"),
        ("/api/sandboxes/{id}/agent/{**rest}", "agent sessions"),
        ("/api/sandboxes/{id}/migrate", "migration between hosts"),
        ("/api/sandboxes/{id}/logs", "logs of sandboxes"),
        ("/api/workers/{**rest}", "workers: this is a single host"),
        ("/api/capacity", "capacity of workers: this is a single host"),
        ("/api/auth/{**rest}", "tokens: clients use their API key"),
    ];

    internal static void Map(IEndpointRouteBuilder routes)
    {
        foreach ((string pattern, string what) in s_missing)
        {
            routes.Map(pattern, _ => throw NotSupported(what));
        }

        routes.MapGet("/api/templates", static context => JsonBody.WriteAsync(context, [s_base], HostJsonContext.Default.TemplateReplyArray));
        routes.MapGet("/api/templates/{name}", static context => context.Text("name") is "base" or "default"
            ? JsonBody.WriteAsync(context, s_base, HostJsonContext.Default.TemplateReply)
            : throw ApiException.NotFound($"template not found: {context.Text("name")}"));
        routes.MapPost("/api/templates", static _ => throw NotSupported("templates of one's own: build an image, or POST /api/snapshots"));
        routes.MapDelete("/api/templates/{name}", static _ => throw NotSupported("templates of one's own: build an image, or POST /api/snapshots"));
    }

    /// <summary>The error that says so.</summary>
    internal static ApiException NotSupported(string what) =>
        new(StatusCodes.Status501NotImplemented, $"this server does not have {what}") { Code = "not_supported" };
}
