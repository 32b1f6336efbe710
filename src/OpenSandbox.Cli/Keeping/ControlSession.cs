using OpenSandbox.Cli.Control;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>One connection of another command line, from its preamble to its end.</summary>
internal sealed partial class ControlSession(ControlConnection connection, ControlServer server)
{
    /// <summary>In which a connection must have said what it wants.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(10);

    /// <summary>Serves the connection.</summary>
    /// <param name="closing">No more operations are begun.</param>
    /// <param name="ending">Operations end.</param>
    /// <exception cref="IOException">The other side has gone, or broke the protocol.</exception>
    internal async Task RunAsync(CancellationToken closing, CancellationToken ending)
    {
        ControlFrame frame;
        using (var deadline = CancellationTokenSource.CreateLinkedTokenSource(closing))
        {
            deadline.CancelAfter(s_patience);
            if (await connection.ExchangePreamblesAsync(deadline.Token).ConfigureAwait(false) != ControlProtocol.Version)
            {
                // The other side sees the same, and tells its user.
                return;
            }

            frame = await connection.ReadAsync(deadline.Token).ConfigureAwait(false);
        }

        while (!frame.IsEnd)
        {
            if (frame.Kind != ControlFrameKind.Request)
            {
                throw new ControlProtocolException($"a frame of kind {frame.Kind} came where a request was expected");
            }

            ControlRequest request = ControlConnection.Parse(frame.Payload, ControlJsonContext.Default.ControlRequest);
            try
            {
                if (!await ServeAsync(request, ending).ConfigureAwait(false))
                {
                    return;
                }
            }
            catch (Exception failure) when (failure is SandboxException or ArgumentException)
            {
                await connection.SendAsync(ControlFrameKind.Failure, Describe(failure), ControlJsonContext.Default.ControlFailure, ending).ConfigureAwait(false);
                if (_contentLeft)
                {
                    await SkipDataAsync(ending).ConfigureAwait(false);
                }

                _contentLeft = false;
            }

            frame = await connection.ReadAsync(closing).ConfigureAwait(false);
        }
    }

    /// <summary>Serves one operation.</summary>
    /// <returns>Whether another may follow on the connection.</returns>
    private async Task<bool> ServeAsync(ControlRequest request, CancellationToken ending)
    {
        switch (request.Operation)
        {
            case ControlOperation.Info:
                await connection.SendAsync(ControlFrameKind.Result, server.Info, ControlJsonContext.Default.KeptSandboxInfo, ending).ConfigureAwait(false);
                return true;
            case ControlOperation.Stop:
                await StopAsync(ending).ConfigureAwait(false);
                return false;
            case ControlOperation.Execute:
                await ExecuteAsync(Require(request.Command), ending).ConfigureAwait(false);
                return false;
            case ControlOperation.Processes:
                await ListProcessesAsync(ending).ConfigureAwait(false);
                return true;
            case ControlOperation.Usage:
                await SendUsageAsync(ending).ConfigureAwait(false);
                return true;
            case ControlOperation.Output:
                await SendOutputAsync(Require(request.Output), ending).ConfigureAwait(false);
                return false;
            case ControlOperation.Connect:
                await ConnectAsync(request.Port ?? 0, ending).ConfigureAwait(false);
                return false;
            case ControlOperation.Hibernate:
                await HibernateAsync(ending).ConfigureAwait(false);
                return false;
            case ControlOperation.Pause:
                await PauseAsync(Require(request.Change), ending).ConfigureAwait(false);
                return true;
            case ControlOperation.Resume:
                await ResumeAsync(ending).ConfigureAwait(false);
                return true;
            case ControlOperation.Checkpoint:
                await CheckpointAsync(Require(request.Change), ending).ConfigureAwait(false);
                return true;
            case ControlOperation.Restore:
                await RestoreAsync(Require(request.Change), ending).ConfigureAwait(false);
                return true;
            case ControlOperation.Fork:
                await ForkAsync(Require(request.Change), ending).ConfigureAwait(false);
                return true;
            case ControlOperation.Describe:
                await DescribeAsync(Require(request.File), ending).ConfigureAwait(false);
                return true;
            case ControlOperation.List:
                await ListAsync(Require(request.File), ending).ConfigureAwait(false);
                return true;
            case ControlOperation.MakeDirectory:
                await MakeDirectoryAsync(Require(request.File), ending).ConfigureAwait(false);
                return true;
            case ControlOperation.Read:
                await ReadAsync(Require(request.File), ending).ConfigureAwait(false);
                return true;
            case ControlOperation.Write:
                await WriteAsync(Require(request.File), ending).ConfigureAwait(false);
                return true;
            default:
                throw new ControlProtocolException($"there is no operation '{request.Operation}'");
        }
    }

    private async Task StopAsync(CancellationToken ending)
    {
        server.RemoveSocket();
        await server.Sandbox.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
        await SendDoneAsync(ending).ConfigureAwait(false);

        // The other side waits for the connection's end: it comes with that of this process, when nothing at all is left.
        server.KeepUntilExit(connection);
    }

    private Task SendDoneAsync(CancellationToken cancellationToken) =>
        connection.SendAsync(ControlFrameKind.Result, ControlNothing.Instance, ControlJsonContext.Default.ControlNothing, cancellationToken);

    private static T Require<T>(T? part)
        where T : class => part ?? throw new ControlProtocolException("a request lacks what its operation is about");

    private static ControlFailure Describe(Exception failure) => new()
    {
        Code = failure is SandboxException known ? known.Code.ToString() : nameof(SandboxErrorCode.InvalidRequest),
        Message = Reporting.ErrorWriter.Describe(failure),
        Errno = (failure as SandboxOperationException)?.Errno ?? 0,
        Step = (failure as SandboxOperationException)?.FailedStep?.ToString(),
    };
}
