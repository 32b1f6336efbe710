using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace OpenSandbox.Host.Protection;

/// <summary>Tells the connection when the web server refuses a request that never reaches a handler: one that is no HTTP, too large, too slow.</summary>
internal sealed class RefusedRequests : IObserver<KeyValuePair<string, object?>>
{
    /// <summary>How the web server calls it.</summary>
    internal const string EventName = "Microsoft.AspNetCore.Server.Kestrel.BadRequest";

    /// <summary>Watches what the connections of an endpoint send.</summary>
    internal static void Use(ListenOptions endpoint) => endpoint.Use(next => connection => ServeAsync(next, connection));

    /// <inheritdoc/>
    public void OnNext(KeyValuePair<string, object?> value)
    {
        if (value is { Key: EventName, Value: IFeatureCollection features }
            && features.Get<ConnectionOutput>() is { } connection
            && features.Get<IBadRequestExceptionFeature>()?.Error is { } refusal)
        {
            connection.Refuse(refusal.Message);
        }
    }

    /// <inheritdoc/>
    public void OnError(Exception error)
    {
        // The source has no errors.
    }

    /// <inheritdoc/>
    public void OnCompleted()
    {
        // It ends with the server.
    }

    private static async Task ServeAsync(ConnectionDelegate next, ConnectionContext connection)
    {
        IDuplexPipe transport = connection.Transport;
        var output = new ConnectionOutput(connection, transport.Output);
        connection.Features.Set(output);
        connection.Transport = new Wrapped(transport.Input, output);
        try
        {
            await next(connection).ConfigureAwait(false);
        }
        finally
        {
            connection.Transport = transport;
        }
    }

    private sealed record Wrapped(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
