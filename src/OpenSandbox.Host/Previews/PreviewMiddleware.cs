using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Protection;

namespace OpenSandbox.Host.Previews;

/// <summary>Takes the requests whose host name is a sandbox's. They never reach the server's own routes, whatever their path.</summary>
internal sealed class PreviewMiddleware(RequestDelegate next, PreviewProxy proxy, RequestRates rates, ServerOptions options)
{
    public Task InvokeAsync(HttpContext context)
    {
        string host = context.Request.Host.Host;
        if (!PreviewTarget.IsPreviewHost(host, options.PreviewDomain))
        {
            return next(context);
        }

        rates.CountAddress(context); // ids and tokens cannot be guessed faster than that
        return PreviewTarget.TryFromHost(host, options.PreviewDomain, out PreviewTarget target)
            ? proxy.ForwardAsync(context, target)
            : throw ApiException.NotFound($"there is no preview '{host}': SANDBOX-pPORT.{options.PreviewDomain}");
    }
}
