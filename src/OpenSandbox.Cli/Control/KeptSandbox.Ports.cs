using System.Net.Sockets;

namespace OpenSandbox.Cli.Control;

/// <summary>Connections to the guest's ports.</summary>
internal sealed partial class KeptSandbox
{
    /// <summary>Waits until the sandbox's keeper has ended. Nothing else may be asked for on this connection.</summary>
    internal async Task WaitForEndAsync(CancellationToken cancellationToken)
    {
        // A keeper waits for the next request for as long as it lives, once there has been one.
        await GetInfoAsync(cancellationToken).ConfigureAwait(false);
        if (!(await _connection.ReadAsync(cancellationToken).ConfigureAwait(false)).IsEnd)
        {
            throw new ControlProtocolException("something came from the keeper that nobody asked for");
        }
    }

    /// <summary>Joins a TCP connection to a port on the guest's loopback interface, until both directions have ended.</summary>
    /// <exception cref="KeptSandboxException">Nothing listens there, for example.</exception>
    internal async Task JoinAsync(int port, Socket socket, CancellationToken cancellationToken)
    {
        await RequestAsync(new ControlRequest { Operation = ControlOperation.Connect, Port = port }, cancellationToken).ConfigureAwait(false);
        await ExpectAsync(ControlFrameKind.Started, cancellationToken).ConfigureAwait(false);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var credit = new ControlCredit(ControlProtocol.Window);
        Task sending = SendAsync(socket, credit, over.Token);
        Task receiving = ReceiveAsync(socket, credit, over.Token);

        // The first failure of either ends both; an ordinary end is that of the receiving one.
        await Task.WhenAny(receiving, FailureOf(sending)).ConfigureAwait(false);
        await over.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(sending, receiving).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
    }

    /// <summary>Completes when a task has failed, and never otherwise.</summary>
    private static async Task FailureOf(Task task)
    {
        await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (task.IsCompletedSuccessfully)
        {
            await new TaskCompletionSource().Task.ConfigureAwait(false);
        }
    }

    private async Task SendAsync(Socket socket, ControlCredit credit, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[ControlProtocol.MaxDataBytes];
        int count;
        while ((count = await socket.ReceiveAsync(buffer.AsMemory(), cancellationToken).ConfigureAwait(false)) > 0)
        {
            for (int sent = 0; sent < count;)
            {
                int room = await credit.TakeAsync(count - sent, cancellationToken).ConfigureAwait(false);
                await _connection.SendAsync(ControlFrameKind.Data, buffer.AsMemory(sent, room), cancellationToken).ConfigureAwait(false);
                sent += room;
            }
        }

        await _connection.SendAsync(ControlFrameKind.DataEnd, ReadOnlyMemory<byte>.Empty, cancellationToken).ConfigureAwait(false);
    }

    private async Task ReceiveAsync(Socket socket, ControlCredit credit, CancellationToken cancellationToken)
    {
        while (true)
        {
            ControlFrame frame = await ReadAsync(cancellationToken).ConfigureAwait(false);
            switch (frame.Kind)
            {
                case ControlFrameKind.Data:
                    ReadOnlyMemory<byte> left = frame.Payload;
                    while (!left.IsEmpty)
                    {
                        left = left[await socket.SendAsync(left, cancellationToken).ConfigureAwait(false)..];
                    }

                    break;
                case ControlFrameKind.DataEnd:
                    socket.Shutdown(SocketShutdown.Send);
                    break;
                case ControlFrameKind.Credit:
                    credit.Give(ControlConnection.ParseNumber(frame.Payload));
                    break;
                case ControlFrameKind.Result:
                    return;
                default:
                    throw new ControlProtocolException($"a frame of kind {frame.Kind} came from a connection");
            }
        }
    }
}
