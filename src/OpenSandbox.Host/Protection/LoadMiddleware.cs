using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Protection;

/// <summary>Bounds how many requests are worked on at once. Probes are always answered.</summary>
internal sealed class LoadMiddleware(RequestDelegate next, ServerOptions options)
{
    private int _running;

    public async Task InvokeAsync(HttpContext context)
    {
        if (context.GetEndpoint()?.Metadata.GetMetadata<OpenAccess>() is { IsProbe: true })
        {
            await next(context).ConfigureAwait(false);
            return;
        }

        try
        {
            if (Interlocked.Increment(ref _running) > options.MaxConcurrentRequests)
            {
                throw new ApiException(
                    StatusCodes.Status503ServiceUnavailable, $"{options.MaxConcurrentRequests} requests are under way already, which is all that the server takes")
                {
                    Code = "busy",
                    Retryable = true,
                    RetryAfter = 1,
                };
            }

            await next(context).ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _running);
        }
    }
}
