using System.Buffers;
using System.Net.WebSockets;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Hands to a process what a client sends, until the client says goodbye or goes.</summary>
/// <param name="socket">The client.</param>
/// <param name="process">The process.</param>
/// <param name="framed">Whether messages begin with the number of a stream.</param>
/// <param name="gone">Cancelled when the client has gone.</param>
internal sealed class InputPump(WebSocket socket, SandboxProcess process, bool framed, CancellationTokenSource gone)
{
    private const byte Stdin = 0;
    private const int BufferSize = 32 << 10;
    private const int MaxMessage = 1 << 20;
    private static readonly TimeSpan s_discardLimit = TimeSpan.FromSeconds(5);

    private Task? _running;

    /// <summary>Whether it has been started.</summary>
    internal bool IsStarted => _running is not null;

    /// <summary>Starts.</summary>
    internal void Start() => _running = RunAsync();

    /// <summary>Waits for the client's goodbye, but not for ever.</summary>
    internal async Task EndAsync(TimeSpan limit)
    {
        if (_running is not null && socket.State is WebSocketState.CloseSent)
        {
            await Task.WhenAny(_running, Task.Delay(limit)).ConfigureAwait(false);
        }

        await gone.CancelAsync().ConfigureAwait(false);
        if (_running is not null)
        {
            await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // its failure is the other half's: the client or the sandbox is gone
        }
    }

    private async Task RunAsync()
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            bool first = true;
            bool isInput = !framed;
            long size = 0;
            while (true)
            {
                ValueWebSocketReceiveResult received = await socket.ReceiveAsync(buffer.AsMemory(), gone.Token).ConfigureAwait(false);
                if (received.MessageType == WebSocketMessageType.Close)
                {
                    break;
                }

                size += received.Count;
                if (size > MaxMessage)
                {
                    await SessionSockets
                        .CloseAsync(socket, WebSocketCloseStatus.MessageTooBig, $"a message of more than {MaxMessage} bytes")
                        .ConfigureAwait(false);
                    await DiscardAsync(buffer).ConfigureAwait(false);
                    break;
                }

                ReadOnlyMemory<byte> bytes = buffer.AsMemory(0, received.Count);
                if (framed && first && received.Count > 0)
                {
                    isInput = bytes.Span[0] == Stdin;
                    bytes = bytes[1..];
                    first = false;
                }

                if (isInput && bytes.Length > 0 && socket.State == WebSocketState.Open)
                {
                    await process.WriteAsync(bytes, gone.Token).ConfigureAwait(false);
                }

                if (received.EndOfMessage)
                {
                    (first, size) = (true, 0);
                }
            }
        }
        finally
        {
            await gone.CancelAsync().ConfigureAwait(false);
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Reads on up to the client's goodbye: a connection that is closed with bytes unread is reset, and the reason is lost with it.</summary>
    private async Task DiscardAsync(byte[] buffer)
    {
        using var limit = new CancellationTokenSource(s_discardLimit);
        try
        {
            while ((await socket.ReceiveAsync(buffer.AsMemory(), limit.Token).ConfigureAwait(false)).MessageType != WebSocketMessageType.Close)
            {
                // Nobody wants it.
            }
        }
        catch (Exception over) when (over is WebSocketException or OperationCanceledException or IOException)
        {
            // It has gone without a word, or talks on.
        }
    }
}
