using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Previews;

/// <summary>Takes the requests whose host name is a sandbox's. They never reach the server's own routes, whatever their path.</summary>
internal sealed class PreviewMiddleware(RequestDelegate next, PreviewProxy proxy, ServerOptions options)
{
    public Task InvokeAsync(HttpContext context)
    {
        string host = context.Request.Host.Host;
        if (PreviewTarget.TryFromHost(host, options.PreviewDomain, out PreviewTarget target))
        {
            return proxy.ForwardAsync(context, target);
        }

        return PreviewTarget.IsPreviewHost(host, options.PreviewDomain)
            ? throw ApiException.NotFound($"there is no preview '{host}': SANDBOX-pPORT.{options.PreviewDomain}")
            : next(context);
    }
}
