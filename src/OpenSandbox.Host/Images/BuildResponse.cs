using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Threading.Channels;
using Microsoft.Extensions.DependencyInjection;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Images;

/// <summary>Answers a request that takes as long as a build: as server-sent events where the client wants them, else once it is done.</summary>
internal static class BuildResponse
{
    private const string EventStream = "text/event-stream";
    private const int MaxQueued = 1_024;
    private static readonly TimeSpan s_keepAlive = TimeSpan.FromSeconds(15);

    /// <summary>Does the work, and answers with what comes of it.</summary>
    internal static async Task RunAsync<T>(
        HttpContext context, Func<Action<BuildLine>, CancellationToken, Task<T>> work, JsonTypeInfo<T> shape, int status)
    {
        if (!context.Request.Headers.Accept.ToString().Contains(EventStream, StringComparison.OrdinalIgnoreCase))
        {
            T made = await work(static _ => { }, context.RequestAborted).ConfigureAwait(false);
            await JsonBody.WriteAsync(context, made, shape, status).ConfigureAwait(false);
            return;
        }

        // A client that reads slowly misses lines, and holds nothing up.
        var lines = Channel.CreateBounded<BuildLine>(new BoundedChannelOptions(MaxQueued) { FullMode = BoundedChannelFullMode.DropOldest });
        Task<T> running = WorkAsync(line => lines.Writer.TryWrite(line), work, lines.Writer, context.RequestAborted);
        context.Response.ContentType = EventStream;
        context.Response.Headers.CacheControl = "no-cache";
        context.Response.Headers["X-Accel-Buffering"] = "no";
        await context.Response.StartAsync(context.RequestAborted).ConfigureAwait(false);
        await WriteLinesAsync(context, lines.Reader).ConfigureAwait(false);
        try
        {
            T made = await running.ConfigureAwait(false);
            await WriteAsync(context, "result", JsonSerializer.SerializeToUtf8Bytes(made, shape)).ConfigureAwait(false);
        }
        catch (ApiException failure)
        {
            await WriteErrorAsync(context, failure).ConfigureAwait(false);
        }
        catch (SandboxException failure)
        {
            ILogger log = context.RequestServices.GetRequiredService<ILogger<ErrorMiddleware>>();
            await WriteErrorAsync(context, ErrorMapping.From(failure, log, context.TraceIdentifier)).ConfigureAwait(false);
        }
        catch (ArgumentException failure)
        {
            await WriteErrorAsync(context, ApiException.Bad(failure.Message)).ConfigureAwait(false);
        }
    }

    private static async Task<T> WorkAsync<T>(
        Action<BuildLine> log, Func<Action<BuildLine>, CancellationToken, Task<T>> work, ChannelWriter<BuildLine> lines, CancellationToken cancellationToken)
    {
        try
        {
            return await work(log, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            lines.TryComplete();
        }
    }

    private static async Task WriteLinesAsync(HttpContext context, ChannelReader<BuildLine> lines)
    {
        using var timer = new PeriodicTimer(s_keepAlive);
        Task<bool> tick = timer.WaitForNextTickAsync(context.RequestAborted).AsTask();
        Task<bool> more = lines.WaitToReadAsync(context.RequestAborted).AsTask();
        while (true)
        {
            if (await Task.WhenAny(tick, more).ConfigureAwait(false) == tick)
            {
                await tick.ConfigureAwait(false);
                await context.Response.WriteAsync(": keepalive\n\n", context.RequestAborted).ConfigureAwait(false);
                tick = timer.WaitForNextTickAsync(context.RequestAborted).AsTask();
                continue;
            }

            if (!await more.ConfigureAwait(false))
            {
                return;
            }

            while (lines.TryRead(out BuildLine? line))
            {
                await WriteAsync(context, "build_log", JsonSerializer.SerializeToUtf8Bytes(line, HostJsonContext.Default.BuildLine)).ConfigureAwait(false);
            }

            more = lines.WaitToReadAsync(context.RequestAborted).AsTask();
        }
    }

    private static Task WriteErrorAsync(HttpContext context, ApiException failure) =>
        WriteAsync(context, "error", JsonSerializer.SerializeToUtf8Bytes(ErrorMiddleware.BodyOf(failure), HostJsonContext.Default.ErrorBody));

    private static async Task WriteAsync(HttpContext context, string kind, byte[] data)
    {
        await context.Response.WriteAsync($"event: {kind}\ndata: ", context.RequestAborted).ConfigureAwait(false);
        await context.Response.Body.WriteAsync(data, context.RequestAborted).ConfigureAwait(false);
        await context.Response.WriteAsync("\n\n", context.RequestAborted).ConfigureAwait(false);
        await context.Response.Body.FlushAsync(context.RequestAborted).ConfigureAwait(false);
    }
}
