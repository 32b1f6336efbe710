using OpenSandbox.Host.Metrics;
using OpenSandbox.Host.OpenApi;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Api;

/// <summary>What operators and programmers read: metrics, and the description of the API.</summary>
internal sealed class OperatorEndpoints(MetricsReport metrics)
{
    internal const string DocumentPath = "/openapi.json";

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/metrics", MetricsAsync);
        routes.MapGet(DocumentPath, DocumentAsync).WithMetadata(new OpenAccess(FromAnywhere: false));
    }

    private async Task MetricsAsync(HttpContext context)
    {
        context.Response.ContentType = MetricsReport.ContentType;
        await context.Response.WriteAsync(metrics.Write(), context.RequestAborted).ConfigureAwait(false);
    }

    private static async Task DocumentAsync(HttpContext context)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        await context.Response.WriteAsync(ApiDocument.Text, context.RequestAborted).ConfigureAwait(false);
    }
}
