using OpenSandbox.Host.Json;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Api;

/// <summary>Whether the server is there, and ready. No key is needed.</summary>
internal sealed class HealthEndpoints(Readiness readiness)
{
    internal void Map(IEndpointRouteBuilder routes)
    {
        var open = new OpenAccess(FromAnywhere: false) { IsProbe = true };
        routes.MapGet("/health", static context => WriteAsync(context, new StatusReply("ok"))).WithMetadata(open);
        routes.MapGet("/healthz", static context => WriteAsync(context, new StatusReply("alive"))).WithMetadata(open);
        routes.MapGet("/readyz", context => readiness.Reason is { } reason
            ? WriteAsync(context, new StatusReply("not ready", reason), StatusCodes.Status503ServiceUnavailable)
            : WriteAsync(context, new StatusReply("ready"))).WithMetadata(open);
    }

    private static Task WriteAsync(HttpContext context, StatusReply reply, int status = StatusCodes.Status200OK) =>
        JsonBody.WriteAsync(context, reply, HostJsonContext.Default.StatusReply, status);
}
