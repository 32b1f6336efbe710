using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Running;

/// <summary><c>run --keep --detach</c>: a process in the background makes and owns the sandbox; the command is run there from here.</summary>
internal static class DetachedRun
{
    private const int SigPipe = 13;

    /// <summary>Makes the sandbox, runs the command if there is one, and tells the sandbox's id.</summary>
    /// <returns>The exit code, see <see cref="ExitCodes"/>.</returns>
    internal static async Task<int> ExecuteAsync(RunRequest request, CommandContext context)
    {
        OutputSink sink = request.Json ? new CapturingSink() : new LineEndSink();
        try
        {
            return await RunAsync(request, sink, context).ConfigureAwait(false);
        }
        catch (BrokenPipeException)
        {
            return ExitCodes.OfSignal(SigPipe);
        }
        catch (Exception failure) when (context.Signals.Received is null)
        {
            context.Errors.Failure(failure);
            int code = CommandRun.CodeOf(failure);
            if (request.Json)
            {
                StandardStreams.Write(StandardStreams.Output, RunReport.Write(failure, code));
            }

            return code;
        }
    }

    private static async Task<int> RunAsync(RunRequest request, OutputSink sink, CommandContext context)
    {
        var times = new RunTimings();
        KeeperMessage ready = await KeeperStart
            .StartAsync(KeeperRequest.From(request.Host, request.Spec, request.Verbose), context).ConfigureAwait(false);
        string id = ready.Ready!;
        times.SandboxReady();
        var directory = new KeeperDirectory(request.Host.StateDirectory);
        var exit = new ControlExit { ExitCode = ExitCodes.Success };
        if (request.Command.Count > 0)
        {
            try
            {
                using KeptSandbox kept = await KeptSandbox.ConnectAsync(directory, id, context.Signals.Token).ConfigureAwait(false);
                exit = await kept.ExecuteAsync(
                    KeptRun.Describe(request.Exec, request.Command), sink, KeptRun.InputOf(request.PassInput, context), context.Signals.Token).ConfigureAwait(false);
            }
            catch
            {
                // The command was not started, or not run to its end: whoever asked for it is not told of the sandbox, and could not end it.
                using KeptSandbox? left = await KeptSandbox.TryConnectAsync(directory, id, CancellationToken.None).ConfigureAwait(false);
                if (left is not null)
                {
                    await left.StopAsync(CancellationToken.None).ConfigureAwait(false);
                }

                throw;
            }
        }

        times.CommandEnded();
        int code = KeptRun.Report(exit, context);
        if (sink is CapturingSink captured)
        {
            StandardStreams.Write(StandardStreams.Output, RunReport.Write(exit.ToExit(), code, captured, times, id));
        }
        else
        {
            ((LineEndSink)sink).WriteLastLine(id);
        }

        return code;
    }
}
