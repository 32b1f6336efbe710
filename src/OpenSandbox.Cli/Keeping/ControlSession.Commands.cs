using OpenSandbox.Cli.Control;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>Commands.</summary>
internal sealed partial class ControlSession
{
    private async Task ExecuteAsync(ControlCommand command, CancellationToken ending)
    {
        SandboxProcess process = await server.Sandbox.StartAsync(command.Arguments, OptionsOf(command), ending).ConfigureAwait(false);
        await using (process.ConfigureAwait(false))
        {
            var started = new ControlStarted { Id = process.Id };
            if (command.Detached)
            {
                await connection.SendAsync(ControlFrameKind.Result, started, ControlJsonContext.Default.ControlStarted, ending).ConfigureAwait(false);
                return;
            }

            using var over = CancellationTokenSource.CreateLinkedTokenSource(ending);
            var input = new ControlInput(connection);
            await connection.SendAsync(ControlFrameKind.Started, started, ControlJsonContext.Default.ControlStarted, ending).ConfigureAwait(false);
            Task receiving = ReceiveAsync(process, input, over);
            Task feeding = HasInput(command) ? FeedAsync(process, input, over.Token) : Task.CompletedTask;
            try
            {
                await SendOutputAsync(process, over.Token).ConfigureAwait(false);
                SandboxProcessExit exit = await process.WaitAsync(over.Token).ConfigureAwait(false);
                await connection.SendAsync(ControlFrameKind.Result, ControlExit.From(exit), ControlJsonContext.Default.ControlExit, over.Token).ConfigureAwait(false);
            }
            finally
            {
                await over.CancelAsync().ConfigureAwait(false);
                await Task.WhenAll(receiving, feeding).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task ReceiveAsync(SandboxProcess process, ControlInput input, CancellationTokenSource over)
    {
        try
        {
            while (true)
            {
                ControlFrame frame = await connection.ReadAsync(over.Token).ConfigureAwait(false);
                switch (frame.Kind)
                {
                    case ControlFrameKind.Data:
                        input.Add(frame.Payload);
                        break;
                    case ControlFrameKind.DataEnd:
                        input.Complete();
                        break;
                    case ControlFrameKind.Signal:
                        await process.SignalAsync(ToSignal(frame.Payload), over.Token).ConfigureAwait(false);
                        break;
                    case ControlFrameKind.Resize:
                        (int columns, int rows) = ToSize(frame.Payload);
                        await process.ResizeTerminalAsync(columns, rows, over.Token).ConfigureAwait(false);
                        break;
                    case ControlFrameKind.None:
                        return;
                    default:
                        throw new ControlProtocolException($"a frame of kind {frame.Kind} came to a running command");
                }
            }
        }
        finally
        {
            // The command does not outlive whoever asked for it.
            await over.CancelAsync().ConfigureAwait(false);
        }
    }

    private async Task FeedAsync(SandboxProcess process, ControlInput input, CancellationToken cancellationToken)
    {
        bool open = true;
        await input.DrainAsync(TakeAsync, cancellationToken).ConfigureAwait(false);
        await process.CompleteInputAsync(cancellationToken).ConfigureAwait(false);

        async Task TakeAsync(byte[] piece)
        {
            if (open && !await process.WriteAsync(piece, cancellationToken).ConfigureAwait(false))
            {
                // Nothing more will be read: whoever produces it may stop.
                open = false;
                await connection.SendAsync(ControlFrameKind.DataEnd, ReadOnlyMemory<byte>.Empty, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async Task SendOutputAsync(SandboxProcess process, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[ControlProtocol.MaxDataBytes];
        while (true)
        {
            SandboxOutput piece = await process.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
            if (piece.IsEnd)
            {
                return;
            }

            await SendAsync(piece, buffer, cancellationToken).ConfigureAwait(false);
        }
    }

    private static bool HasInput(ControlCommand command) => command.Input || command.Terminal is not null;

    private static StartOptions OptionsOf(ControlCommand command) => new()
    {
        EnvironmentVariables = command.Environment,
        WorkingDirectory = command.WorkingDirectory,
        User = command.User,
        Timeout = command.TimeoutMilliseconds is double limit ? ToTime(limit) : null,
        Input = HasInput(command) ? ProcessInput.Open : ProcessInput.Null,
        Terminal = command.Terminal is ControlTerminal terminal
            ? new TerminalOptions { Columns = terminal.Columns, Rows = terminal.Rows, Type = terminal.Type }
            : null,
        Detached = command.Detached,
    };

    private static (int Columns, int Rows) ToSize(ReadOnlyMemory<byte> payload)
    {
        uint size = ControlConnection.ParseNumber(payload);
        (int columns, int rows) = ((int)(size & ushort.MaxValue), (int)(size >> 16));
        return columns > 0 && rows > 0 ? (columns, rows) : throw new ControlProtocolException("a terminal has at least one column and one row");
    }

    private static int ToSignal(ReadOnlyMemory<byte> payload) => ControlConnection.ParseNumber(payload) is uint signal and >= 1 and <= 64
        ? (int)signal
        : throw new ControlProtocolException("a signal has a number from 1 to 64");

    private static TimeSpan ToTime(double milliseconds) => milliseconds is > 0 and < int.MaxValue * 1_000d
        ? TimeSpan.FromMilliseconds(milliseconds)
        : throw new ArgumentException($"a timeout of {milliseconds} ms is out of range");
}
