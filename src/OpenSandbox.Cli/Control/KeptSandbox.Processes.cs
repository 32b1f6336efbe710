using OpenSandbox.Cli.Running;

namespace OpenSandbox.Cli.Control;

/// <summary>Processes in the background, and what all use.</summary>
internal sealed partial class KeptSandbox
{
    /// <summary>Starts a command that goes on by itself.</summary>
    internal async Task<ControlStarted> StartAsync(ControlCommand command, CancellationToken cancellationToken)
    {
        var request = new ControlRequest { Operation = ControlOperation.Execute, Command = command with { Detached = true } };
        await RequestAsync(request, cancellationToken).ConfigureAwait(false);
        ControlFrame answer = await ExpectAsync(ControlFrameKind.Result, cancellationToken).ConfigureAwait(false);
        return ControlConnection.Parse(answer.Payload, ControlJsonContext.Default.ControlStarted);
    }

    /// <summary>Lists the processes.</summary>
    internal async Task<ProcessRow[]> ListProcessesAsync(CancellationToken cancellationToken)
    {
        await RequestAsync(new ControlRequest { Operation = ControlOperation.Processes }, cancellationToken).ConfigureAwait(false);
        ControlFrame answer = await ExpectAsync(ControlFrameKind.Result, cancellationToken).ConfigureAwait(false);
        return ControlConnection.Parse(answer.Payload, ControlJsonContext.Default.ProcessRowArray);
    }

    /// <summary>What the sandbox uses now.</summary>
    internal async Task<UsageRow> GetUsageAsync(CancellationToken cancellationToken)
    {
        await RequestAsync(new ControlRequest { Operation = ControlOperation.Usage }, cancellationToken).ConfigureAwait(false);
        ControlFrame answer = await ExpectAsync(ControlFrameKind.Result, cancellationToken).ConfigureAwait(false);
        return ControlConnection.Parse(answer.Payload, ControlJsonContext.Default.UsageRow);
    }

    /// <summary>Copies a process's output, as far as it is kept, and on request what comes until its end.</summary>
    /// <param name="wanted">Which.</param>
    /// <param name="sink">Where it goes.</param>
    /// <param name="gap">Told how many bytes are not kept any more.</param>
    /// <param name="cancellationToken">Stops at once; the process goes on.</param>
    internal async Task CopyOutputAsync(ControlOutput wanted, OutputSink sink, Action<long> gap, CancellationToken cancellationToken)
    {
        await RequestAsync(new ControlRequest { Operation = ControlOperation.Output, Output = wanted }, cancellationToken).ConfigureAwait(false);
        await Task.Run(CopyAsync, cancellationToken).WaitAsync(cancellationToken).ConfigureAwait(false);

        async Task CopyAsync()
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
                    case ControlFrameKind.Item:
                        gap(ControlConnection.Parse(frame.Payload, ControlJsonContext.Default.ControlGap).Bytes);
                        break;
                    case ControlFrameKind.Result:
                        return;
                    default:
                        throw new ControlProtocolException($"a frame of kind {frame.Kind} came with a process's output");
                }
            }
        }
    }
}
