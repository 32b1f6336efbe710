using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Previews;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Protection;

/// <summary>Bounds how many requests are worked on at once, and how many of them are for previews. Probes are always answered.</summary>
internal sealed class LoadMiddleware(RequestDelegate next, ServerOptions options)
{
    private readonly PreviewPlaces _previews = new(options);
    private int _running;

    public async Task InvokeAsync(HttpContext context)
    {
        string? previewOf = PreviewOf(context);
        if (previewOf is null && context.GetEndpoint()?.Metadata.GetMetadata<OpenAccess>() is { IsProbe: true })
        {
            await next(context).ConfigureAwait(false);
            return;
        }

        try
        {
            if (Interlocked.Increment(ref _running) > options.MaxConcurrentRequests)
            {
                throw Busy($"{options.MaxConcurrentRequests} requests are under way already, which is all that the server takes");
            }

            await (previewOf is null ? next(context) : PreviewAsync(context, previewOf)).ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _running);
        }
    }

    /// <summary>The sandbox whose preview a request is for, if it is for one: by host name whatever its path is, else by path.</summary>
    private string? PreviewOf(HttpContext context)
    {
        string host = context.Request.Host.Host;
        if (PreviewTarget.IsPreviewHost(host, options.PreviewDomain))
        {
            return PreviewTarget.TryFromHost(host, options.PreviewDomain, out PreviewTarget target) ? target.SandboxId : "";
        }

        return context.Request.Path.StartsWithSegments(PreviewTarget.PathRoot, StringComparison.OrdinalIgnoreCase)
            ? context.Request.RouteValues["id"] as string ?? ""
            : null;
    }

    private async Task PreviewAsync(HttpContext context, string sandboxId)
    {
        if (!_previews.TryEnter(sandboxId))
        {
            throw Busy("as many requests for previews are under way already as the server takes");
        }

        try
        {
            await next(context).ConfigureAwait(false);
        }
        finally
        {
            _previews.Leave(sandboxId);
        }
    }

    private static ApiException Busy(string message) => new(StatusCodes.Status503ServiceUnavailable, message)
    {
        Code = "busy",
        Retryable = true,
        RetryAfter = 1,
    };
}
