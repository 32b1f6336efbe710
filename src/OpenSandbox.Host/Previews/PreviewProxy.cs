using System.Buffers;
using System.Net;
using System.Text;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using OpenSandbox.Host.Api;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Records;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Previews;

/// <summary>Passes requests on to programs that listen in sandboxes: HTTP and WebSocket, streaming in both directions. Thread-safe.</summary>
internal sealed class PreviewProxy : IDisposable
{
    private const int BufferBytes = 64 << 10;
    private const int MaxConnectionsPerPort = 256;
    private const int MaxHeaderKib = 64;
    private static readonly TimeSpan s_connectLimit = TimeSpan.FromSeconds(60); // it may have to be woken first
    private static readonly TimeSpan s_answerLimit = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan s_idleLimit = TimeSpan.FromSeconds(15);

    private readonly SandboxService _sandboxes;
    private readonly PreviewHeaders _headers;
    private readonly ServerOptions _options;
    private readonly HttpMessageInvoker _client;

    public PreviewProxy(SandboxService sandboxes, PreviewHeaders headers, ServerOptions options)
    {
        _sandboxes = sandboxes;
        _headers = headers;
        _options = options;
        _client = new HttpMessageInvoker(
            new SocketsHttpHandler
            {
                ConnectCallback = ConnectAsync,
                ConnectTimeout = s_connectLimit,
                PooledConnectionIdleTimeout = s_idleLimit,
                MaxConnectionsPerServer = MaxConnectionsPerPort,
                MaxResponseHeadersLength = MaxHeaderKib,
                AllowAutoRedirect = false,
                UseCookies = false,
                UseProxy = false,
                AutomaticDecompression = DecompressionMethods.None,
                ActivityHeadersPropagator = null,
                RequestHeaderEncodingSelector = static (_, _) => Encoding.UTF8,
                ResponseHeaderEncodingSelector = static (_, _) => Encoding.Latin1,
            },
            disposeHandler: true);
    }

    internal void Map(IEndpointRouteBuilder routes)
    {
        var open = new Security.OpenAccess(FromAnywhere: true);
        routes.Map(PreviewTarget.PathRoot + "/{id}/{port}/{**rest}", ForwardByPathAsync).WithMetadata(open);
    }

    /// <summary>Passes a request on, and its answer back.</summary>
    /// <exception cref="ApiException">It could not be: no such sandbox, no token, nobody listens.</exception>
    internal async Task ForwardAsync(HttpContext context, PreviewTarget target)
    {
        Sandbox sandbox = _sandboxes.Get(target.SandboxId);
        SandboxEntry entry = _sandboxes.EntryOf(sandbox);
        PreviewAccess.Check(context, entry);
        if (HttpMethods.IsConnect(context.Request.Method) || HttpMethods.IsTrace(context.Request.Method))
        {
            throw new ApiException(StatusCodes.Status405MethodNotAllowed, $"{context.Request.Method} does not go through previews");
        }

        using var deadline = new CancellationTokenSource(s_answerLimit, _options.Sandboxes.TimeProvider);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, context.RequestAborted);
        bool upgrade = IsWebSocket(context);
        using HttpRequestMessage request = MakeRequest(context, target, upgrade, () => deadline.CancelAfter(s_answerLimit));
        _headers.CopyRequest(context, target, entry, request, upgrade);
        HttpResponseMessage? response = null;
        try
        {
            try
            {
                response = await _client.SendAsync(request, both.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!context.RequestAborted.IsCancellationRequested)
            {
                throw new ApiException(
                    StatusCodes.Status504GatewayTimeout, $"port {target.Port} of sandbox {sandbox.Id} has not answered for {s_answerLimit.TotalSeconds} s")
                {
                    Code = "timeout",
                };
            }
            catch (Exception failure) when (failure is HttpRequestException or IOException)
            {
                context.RequestAborted.ThrowIfCancellationRequested();
                throw Explain(failure, target);
            }

            deadline.CancelAfter(Timeout.InfiniteTimeSpan); // an answer may go on for as long as somebody takes it
            await AnswerAsync(context, target, response, upgrade).ConfigureAwait(false);
        }
        finally
        {
            response?.Dispose();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    private Task ForwardByPathAsync(HttpContext context)
    {
        if (!PreviewTarget.TryFromPath(context.Text("id"), context.Text("port"), out PreviewTarget target))
        {
            throw ApiException.NotFound($"there is no preview at {context.Request.Path}: {PreviewTarget.PathRoot}/SANDBOX/PORT/");
        }

        string raw = RawTargetOf(context);
        if (raw.StartsWith(target.Prefix, StringComparison.Ordinal) && raw.Length > target.Prefix.Length && raw[target.Prefix.Length] == '/')
        {
            return ForwardAsync(context, target);
        }

        // Without the slash the page's own links would lead out of it.
        if (raw == target.Prefix || raw.StartsWith(target.Prefix + "?", StringComparison.Ordinal))
        {
            context.Response.StatusCode = StatusCodes.Status308PermanentRedirect;
            context.Response.Headers.Location = $"{target.Prefix}/{raw[target.Prefix.Length..]}";
            context.Response.ContentLength = 0;
            return Task.CompletedTask;
        }

        throw ApiException.Bad($"a preview's path begins with {target.Prefix}/, written like that");
    }

    private static bool IsWebSocket(HttpContext context) =>
        context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true }
            && HttpMethods.IsGet(context.Request.Method)
            && string.Equals(context.Request.Headers.Upgrade.ToString(), "websocket", StringComparison.OrdinalIgnoreCase);

    private static string RawTargetOf(HttpContext context) => context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;

    private HttpRequestMessage MakeRequest(HttpContext context, PreviewTarget target, bool upgrade, Action moved)
    {
        var request = new HttpRequestMessage(new HttpMethod(context.Request.Method), _headers.UriOf(target, RawTargetOf(context)))
        {
            Version = HttpVersion.Version11,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        if (!upgrade && context.Features.Get<IHttpRequestBodyDetectionFeature>() is { CanHaveBody: true })
        {
            if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
            {
                size.MaxRequestBodySize = _options.MaxFileBytes;
            }

            if (context.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } rate)
            {
                rate.MinDataRate = null; // bodies that come as something happens are slow; the deadline begins anew with each piece
            }

            request.Content = new PreviewRequestContent(context.Request.Body, context.Request.ContentLength, moved);
        }

        return request;
    }

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken) =>
        await _sandboxes.Get(context.DnsEndPoint.Host).ConnectAsync(context.DnsEndPoint.Port, cancellationToken).ConfigureAwait(false);

    private static ApiException Explain(Exception failure, PreviewTarget target)
    {
        for (Exception? cause = failure; cause is not null; cause = cause.InnerException)
        {
            switch (cause)
            {
                case ApiException known:
                    return known;
                case BadHttpRequestException client: // its body is too large, or was cut
                    return new ApiException(client.StatusCode, client.Message, failure);
                case SandboxException { Code: SandboxErrorCode.ConnectionRefused }:
                    return new ApiException(
                        StatusCodes.Status502BadGateway, $"nothing listens at port {target.Port} of sandbox {target.SandboxId}", failure)
                    {
                        Code = "connection_refused",
                        Retryable = true,
                    };
                case SandboxException sandbox:
                    return ErrorMapping.From(sandbox);
            }
        }

        return new ApiException(
            StatusCodes.Status502BadGateway, $"the program at port {target.Port} of sandbox {target.SandboxId} did not answer in HTTP: {failure.Message}", failure)
        {
            Code = "bad_gateway",
        };
    }

    private static async Task AnswerAsync(HttpContext context, PreviewTarget target, HttpResponseMessage response, bool upgrade)
    {
        bool switched = response.StatusCode == HttpStatusCode.SwitchingProtocols;
        if (switched && !upgrade)
        {
            throw new ApiException(StatusCodes.Status502BadGateway, $"the program at port {target.Port} switched to another protocol unasked");
        }

        context.Response.StatusCode = (int)response.StatusCode;
        PreviewHeaders.CopyResponse(response, context.Response, target, switched);
        CancellationToken gone = context.RequestAborted;
        using Stream program = await response.Content.ReadAsStreamAsync(gone).ConfigureAwait(false);
        try
        {
            if (switched)
            {
                await RelayAsync(context, program).ConfigureAwait(false);
                return;
            }

            await context.Response.StartAsync(gone).ConfigureAwait(false);
            await CopyAsync(program, context.Response.Body, gone).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException or HttpRequestException or InvalidOperationException)
        {
            // Its connection broke, or its body is not what its headers have said.
            context.Abort(); // a cut answer must not look whole
        }
    }

    /// <summary>Bytes in both directions, until one side has ended.</summary>
    private static async Task RelayAsync(HttpContext context, Stream program)
    {
        using Stream client = await context.Features.GetRequiredFeature<IHttpUpgradeFeature>().UpgradeAsync().ConfigureAwait(false);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        Task inward = CopyAsync(client, program, over.Token);
        Task outward = CopyAsync(program, client, over.Token);
        await Task.WhenAny(inward, outward).ConfigureAwait(false);
        await over.CancelAsync().ConfigureAwait(false);
        // How either ended does not matter: the other side sees an end, and has seen all bytes before it.
        await Task.WhenAll(inward, outward).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private static async Task CopyAsync(Stream from, Stream to, CancellationToken cancellationToken)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
        try
        {
            while (await from.ReadAsync(buffer, cancellationToken).ConfigureAwait(false) is int count and > 0)
            {
                await to.WriteAsync(buffer.AsMemory(0, count), cancellationToken).ConfigureAwait(false);
                await to.FlushAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
