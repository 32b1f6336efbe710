using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Images;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Running;

/// <summary>The verb <c>run</c>: a sandbox for one command.</summary>
internal static class CommandRun
{
    private const int SigPipe = 13;
    private const int ENoExec = 8;
    private const int EPerm = 1;
    private const int EAcces = 13;

    /// <summary>Runs the command and tells how it ended.</summary>
    /// <returns>The exit code, see <see cref="ExitCodes"/>.</returns>
    internal static async Task<int> ExecuteAsync(RunRequest request, CommandContext context)
    {
        OutputSink sink = request.Json ? new CapturingSink() : new PassThroughSink();
        try
        {
            return await RunAsync(request, sink, new RunTimings(), context).ConfigureAwait(false);
        }
        catch (BrokenPipeException)
        {
            return ExitCodes.OfSignal(SigPipe);
        }
        catch (Exception failure) when (context.Signals.Received is null)
        {
            context.Errors.Failure(failure);
            int code = CodeOf(failure);
            if (request.Json)
            {
                StandardStreams.Write(StandardStreams.Output, RunReport.Write(failure, code));
            }

            return code;
        }
    }

    /// <summary>The exit code for a command that has run.</summary>
    internal static int CodeOf(SandboxProcessExit exit) => exit.TimedOut ? ExitCodes.TimedOut : exit.ExitCode;

    /// <summary>The exit code for a command that has not run, or not to its end.</summary>
    internal static int CodeOf(Exception failure) => failure switch
    {
        SandboxOperationException operation => CodeOfStart(operation.Code, operation.Errno, operation.FailedStep),
        KeptSandboxException { Code: SandboxErrorCode code } kept => CodeOfStart(code, kept.Failure.Errno, kept.Step),
        _ => CommandLine.CodeOf(failure),
    };

    /// <summary>The exit code for a command that could not be started in a sandbox that is fine.</summary>
    internal static int CodeOfStart(SandboxErrorCode code, int errno, ProcessStartStep? step) => code switch
    {
        // A working directory that is missing is not a program that is.
        _ when step is not ProcessStartStep.Program => ExitCodes.Failed,
        SandboxErrorCode.NotFound => ExitCodes.CommandNotFound,
        SandboxErrorCode.PermissionDenied => ExitCodes.CannotExecute,
        _ => errno is ENoExec or EPerm or EAcces ? ExitCodes.CannotExecute : ExitCodes.Failed,
    };

    private static async Task<int> RunAsync(RunRequest request, OutputSink sink, RunTimings times, CommandContext context)
    {
        CancellationToken ending = context.Signals.Token;
        var steps = new Steps(context.Errors);
        await using (steps.ConfigureAwait(false))
        {
            using var logger = new StepLogger(steps, context.Errors, request.Verbose);
            SandboxHost host = await SandboxHost.StartAsync(request.Host, logger, ending).ConfigureAwait(false);
            await using (host.ConfigureAwait(false))
            {
                times.HostReady();
                await ImagePreparation.EnsureAllAsync(host, request.Spec.Image, steps, ending).ConfigureAwait(false);
                times.ImagesReady();
                await steps.DisposeAsync().ConfigureAwait(false);
                Sandbox sandbox = await host.CreateAsync(request.Spec, ending).ConfigureAwait(false);
                times.SandboxReady();
                if (request.Keep)
                {
                    return await KeepAsync(sandbox, host.Options, request, sink, times, context).ConfigureAwait(false);
                }

                await using (sandbox.ConfigureAwait(false))
                {
                    return await RunAsync(sandbox, request, sink, times, context).ConfigureAwait(false);
                }
            }
        }
    }

    private static async Task<int> RunAsync(Sandbox sandbox, RunRequest request, OutputSink sink, RunTimings times, CommandContext context)
    {
        SandboxProcessExit exit = await GuestCommand.RunAsync(sandbox, request, sink, context.Errors, context.Signals.Token).ConfigureAwait(false);
        times.CommandEnded();
        if (exit.OutOfMemory)
        {
            context.Errors.Line("the command ran out of memory. Give it more with --memory");
        }

        int code = CodeOf(exit);
        if (sink is CapturingSink captured)
        {
            StandardStreams.Write(StandardStreams.Output, RunReport.Write(exit, code, captured, times, request.Keep ? sandbox.Id : null));
        }

        return code;
    }

    /// <summary>Runs the command, if there is one, and keeps the sandbox until it is ended or put away from elsewhere, or by a signal.</summary>
    private static async Task<int> KeepAsync(
        Sandbox sandbox, SandboxHostOptions options, RunRequest request, OutputSink sink, RunTimings times, CommandContext context)
    {
        try
        {
            ControlServer server = ControlServer.Start(sandbox, options, detached: false, context.Errors.Line);
            await using (server.ConfigureAwait(false))
            {
                context.Errors.Line($"sandbox {sandbox.Id} is kept until Ctrl-C, or 'opensandbox rm {sandbox.Id}'");
                int code = request.Command.Count > 0
                    ? await RunAsync(sandbox, request, sink, times, context).ConfigureAwait(false)
                    : ExitCodes.Success;

                // Being told to end is how this goes well.
                SandboxExit exit = await Keeper.WaitForEndAsync(sandbox, background: false, context.Errors.Line, context.Signals).ConfigureAwait(false);
                if (exit.Reason == SandboxExitReason.Released)
                {
                    context.Errors.Line($"sandbox {sandbox.Id} has been put away. It comes back with 'opensandbox wake {sandbox.Id}'");
                }

                return Keeper.IsLost(exit) ? ExitCodes.Failed : code;
            }
        }
        catch (SandboxLostException)
        {
            // What is on its disks is there for 'opensandbox wake'.
            await sandbox.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        catch
        {
            // Nothing is kept when the command could not be run to its end.
            await sandbox.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }
}
