using OpenSandbox.Cli.Running;

namespace OpenSandbox.Cli.Control;

/// <summary>Commands.</summary>
internal sealed partial class KeptSandbox
{
    /// <summary>Runs a command to its end. It is killed when this stops waiting.</summary>
    /// <param name="command">What to run.</param>
    /// <param name="sink">Where its output goes.</param>
    /// <param name="input">Gives its input, or <see langword="null"/> for none.</param>
    /// <param name="cancellationToken">Stops at once, also where a write waits.</param>
    /// <returns>How it ended; all its output has been written.</returns>
    internal async Task<ControlExit> ExecuteAsync(ControlCommand command, OutputSink sink, IInputSource? input, CancellationToken cancellationToken)
    {
        command = command with { Input = input is not null };
        await RequestAsync(new ControlRequest { Operation = ControlOperation.Execute, Command = command }, cancellationToken).ConfigureAwait(false);
        await ExpectAsync(ControlFrameKind.Started, cancellationToken).ConfigureAwait(false);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var credit = new ControlCredit(ControlProtocol.Window);
        using var unwanted = CancellationTokenSource.CreateLinkedTokenSource(ended.Token);

        // It ends when the input or the command does; nobody waits for it, as a read from a terminal may last for ever.
        Task sending = input is null ? Task.CompletedTask : SendInputAsync(input, credit, unwanted.Token);
        try
        {
            // On a thread of its own from the start: a write that waits must not keep this method from being cancelled.
            return await Task.Run(() => ReceiveAsync(sink, credit, unwanted, cancellationToken), cancellationToken)
                .WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            _ = sending.ContinueWith(static failed => _ = failed.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        }
    }

    /// <summary>Tells a running command's terminal its size. What cannot be told any more is not: whoever reads the output reports why.</summary>
    internal async Task ResizeAsync(int columns, int rows, CancellationToken cancellationToken)
    {
        try
        {
            uint size = (uint)columns | ((uint)rows << 16);
            await _connection.SendAsync(ControlFrameKind.Resize, size, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception over) when (over is IOException or OperationCanceledException or ObjectDisposedException)
        {
            return;
        }
    }

    private async Task<ControlExit> ReceiveAsync(OutputSink sink, ControlCredit credit, CancellationTokenSource unwanted, CancellationToken cancellationToken)
    {
        while (true)
        {
            ControlFrame frame = await ReadAsync(cancellationToken).ConfigureAwait(false);
            switch (frame.Kind)
            {
                case ControlFrameKind.Data:
                    sink.Write(isError: false, frame.Payload.Span);
                    break;
                case ControlFrameKind.ErrorData:
                    sink.Write(isError: true, frame.Payload.Span);
                    break;
                case ControlFrameKind.Credit:
                    credit.Give(ControlConnection.ParseNumber(frame.Payload));
                    break;
                case ControlFrameKind.Item:
                    // A reader that is waited for misses nothing.
                    throw new ControlProtocolException("part of a command's output is missing");
                case ControlFrameKind.DataEnd:
                    // The command takes no more input.
                    await unwanted.CancelAsync().ConfigureAwait(false);
                    break;
                case ControlFrameKind.Result:
                    return ControlText.ReadExit(frame.Payload);
                default:
                    throw new ControlProtocolException($"a frame of kind {frame.Kind} came from a running command");
            }
        }
    }

    private async Task SendInputAsync(IInputSource input, ControlCredit credit, CancellationToken cancellationToken)
    {
        try
        {
            byte[] buffer = new byte[ControlProtocol.MaxDataBytes];
            int count;
            while ((count = await input.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
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
        catch (Exception over) when (over is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // Whoever reads the output meets the same end and reports it.
            return;
        }
    }
}
