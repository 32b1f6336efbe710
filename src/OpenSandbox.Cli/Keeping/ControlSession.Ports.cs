using OpenSandbox.Cli.Control;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>Connections to the guest's ports.</summary>
internal sealed partial class ControlSession
{
    private async Task ConnectAsync(int port, CancellationToken ending)
    {
        if (port is < 1 or > ushort.MaxValue)
        {
            throw new ArgumentException($"port {port}: it must be from 1 to {ushort.MaxValue}");
        }

        SandboxPortStream stream = await server.Sandbox.ConnectAsync(port, ending).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            await connection.SendAsync(ControlFrameKind.Started, ControlNothing.Instance, ControlJsonContext.Default.ControlNothing, ending).ConfigureAwait(false);
            using var over = CancellationTokenSource.CreateLinkedTokenSource(ending);
            var input = new ControlInput(connection);
            Task receiving = ReceiveAsync(input, over);
            try
            {
                await Task.WhenAll(FeedAsync(stream, input, over.Token), SendAsync(stream, over.Token)).ConfigureAwait(false);
                await SendDoneAsync(over.Token).ConfigureAwait(false);
            }
            finally
            {
                await over.CancelAsync().ConfigureAwait(false);
                await receiving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task ReceiveAsync(ControlInput input, CancellationTokenSource over)
    {
        try
        {
            while (await connection.ReadAsync(over.Token).ConfigureAwait(false) is { IsEnd: false } frame)
            {
                switch (frame.Kind)
                {
                    case ControlFrameKind.Data:
                        input.Add(frame.Payload);
                        break;
                    case ControlFrameKind.DataEnd:
                        input.Complete();
                        break;
                    default:
                        throw new ControlProtocolException($"a frame of kind {frame.Kind} came to a connection");
                }
            }
        }
        finally
        {
            await over.CancelAsync().ConfigureAwait(false);
        }
    }

    private static async Task FeedAsync(SandboxPortStream stream, ControlInput input, CancellationToken cancellationToken)
    {
        await input.DrainAsync(piece => stream.WriteAsync(piece, cancellationToken).AsTask(), cancellationToken).ConfigureAwait(false);
        await stream.CompleteWritesAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task SendAsync(SandboxPortStream stream, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[ControlProtocol.MaxDataBytes];
        int count;
        while ((count = await stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
        {
            await connection.SendAsync(ControlFrameKind.Data, buffer.AsMemory(0, count), cancellationToken).ConfigureAwait(false);
        }

        await connection.SendAsync(ControlFrameKind.DataEnd, ReadOnlyMemory<byte>.Empty, cancellationToken).ConfigureAwait(false);
    }
}
