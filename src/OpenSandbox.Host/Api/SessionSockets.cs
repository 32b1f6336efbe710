using System.Buffers;
using System.Buffers.Binary;
using System.Net.WebSockets;
using OpenSandbox.Host.Errors;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>What a WebSocket carries between a client and a process: framed for commands, bare for terminals.</summary>
internal static class SessionSockets
{
    private const byte Stdout = 1;
    private const byte Stderr = 2;
    private const byte ExitCode = 3;
    private const byte ReplayEnd = 4;
    private const int BufferSize = 32 << 10;
    private const int MaxReason = 60; // a close frame has room for 123 bytes, a character may take three
    private static readonly TimeSpan s_closeLimit = TimeSpan.FromSeconds(5);

    /// <summary>Serves a session until the process has ended or the client has gone, and closes the socket.</summary>
    /// <param name="socket">The client.</param>
    /// <param name="process">The process.</param>
    /// <param name="framed">Whether messages begin with the number of a stream; a terminal's are bare.</param>
    /// <param name="cancellationToken">The client has gone, or the server stops.</param>
    /// <exception cref="SandboxException">The sandbox cannot be used any more; the client has been told.</exception>
    internal static async Task ServeAsync(WebSocket socket, SandboxProcess process, bool framed, CancellationToken cancellationToken)
    {
        using var gone = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var input = new InputPump(socket, process, framed, gone);
        try
        {
            await (framed ? SendCommandAsync(socket, process, input, gone.Token) : SendTerminalAsync(socket, process, input, gone.Token))
                .ConfigureAwait(false);
            await CloseAsync(socket, WebSocketCloseStatus.NormalClosure, framed ? "exec completed" : "terminal closed").ConfigureAwait(false);
        }
        catch (SandboxException failure)
        {
            await CloseAsync(socket, WebSocketCloseStatus.InternalServerError, Short(ErrorMapping.TextOf(failure))).ConfigureAwait(false);
            throw;
        }
        finally
        {
            // A receive that is cancelled aborts the connection, and what was just sent with it: the client's goodbye is waited for.
            await input.EndAsync(s_closeLimit).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// What the process has written so far, the mark, what it writes from then on, its exit code. What the client sends reaches the process
    /// only after the mark has been sent: an answer to it is never taken for replay.
    /// </summary>
    private static async Task SendCommandAsync(WebSocket socket, SandboxProcess process, InputPump input, CancellationToken cancellationToken)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferSize + 1);
        try
        {
            long at = process.FirstSequence;
            while (true)
            {
                if (!input.IsStarted && at >= process.ReplayEnd)
                {
                    await SendAsync(socket, new byte[] { ReplayEnd }, cancellationToken).ConfigureAwait(false);
                    input.Start();
                }

                SandboxOutput output = await process.ReadAsync(buffer.AsMemory(1, BufferSize), cancellationToken).ConfigureAwait(false);
                if (output.Kind == SandboxOutputKind.End)
                {
                    break;
                }

                if (output.Kind == SandboxOutputKind.Gap)
                {
                    at = output.Sequence + output.Missing; // the client has no word for it
                    continue;
                }

                buffer[0] = output.Kind == SandboxOutputKind.StandardError ? Stderr : Stdout;
                await SendAsync(socket, buffer.AsMemory(0, output.Count + 1), cancellationToken).ConfigureAwait(false);
                at = output.Sequence + output.Count;
            }

            if (!input.IsStarted)
            {
                await SendAsync(socket, new byte[] { ReplayEnd }, cancellationToken).ConfigureAwait(false);
                input.Start();
            }

            SandboxProcessExit exit = await process.WaitAsync(cancellationToken).ConfigureAwait(false);
            byte[] code = new byte[5];
            code[0] = ExitCode;
            BinaryPrimitives.WriteInt32BigEndian(code.AsSpan(1), exit.TimedOut ? -1 : exit.ExitCode);
            await SendAsync(socket, code, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async Task SendTerminalAsync(WebSocket socket, SandboxProcess process, InputPump input, CancellationToken cancellationToken)
    {
        input.Start();
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            while (true)
            {
                SandboxOutput output = await process.ReadAsync(buffer.AsMemory(0, BufferSize), cancellationToken).ConfigureAwait(false);
                if (output.Kind == SandboxOutputKind.End)
                {
                    return;
                }

                if (output.Kind != SandboxOutputKind.Gap)
                {
                    await SendAsync(socket, buffer.AsMemory(0, output.Count), cancellationToken).ConfigureAwait(false);
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Closes a socket, without waiting for ever for the other side's goodbye.</summary>
    internal static async Task CloseAsync(WebSocket socket, WebSocketCloseStatus status, string reason)
    {
        if (socket.State is not (WebSocketState.Open or WebSocketState.CloseReceived))
        {
            return;
        }

        using var limit = new CancellationTokenSource(s_closeLimit);
        try
        {
            await socket.CloseOutputAsync(status, reason, limit.Token).ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is WebSocketException or OperationCanceledException or IOException)
        {
            socket.Abort(); // nobody is there to hear it
        }
    }

    private static ValueTask SendAsync(WebSocket socket, ReadOnlyMemory<byte> message, CancellationToken cancellationToken) =>
        socket.SendAsync(message, WebSocketMessageType.Binary, WebSocketMessageFlags.EndOfMessage, cancellationToken);

    private static string Short(string message) => message.Length <= MaxReason ? message : message[..MaxReason];
}
