using OpenSandbox.Cli.Commands;
using OpenSandbox.Cli.Control;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Running;

/// <summary>A command in a sandbox that another process keeps, joined to this program's standard streams.</summary>
internal static class KeptRun
{
    private const int SigPipe = 13;

    /// <summary>Runs the command.</summary>
    /// <returns>The exit code, see <see cref="ExitCodes"/>.</returns>
    internal static async Task<int> ExecuteAsync(string id, ExecOptions options, string[] command, bool passInput, CommandContext context)
    {
        try
        {
            using KeptSandbox kept = await KeptSandbox.ConnectAsync(KeptArgument.Directory, id, context.Signals.Token).ConfigureAwait(false);
            ControlExit exit = await kept
                .ExecuteAsync(Describe(options, command), new PassThroughSink(), InputOf(passInput, context), context.Signals.Token)
                .ConfigureAwait(false);
            return Report(exit, context);
        }
        catch (BrokenPipeException)
        {
            return ExitCodes.OfSignal(SigPipe);
        }
        catch (KeptSandboxException failure) when (context.Signals.Received is null)
        {
            context.Errors.Failure(failure);
            return CommandRun.CodeOf(failure);
        }
    }

    /// <summary>This program's standard input, where it is to be passed on and there is one.</summary>
    internal static StandardInput? InputOf(bool pass, CommandContext context) =>
        pass && StandardStreams.WasInherited(StandardStreams.Input) ? new StandardInput(context.Errors) : null;

    /// <summary>The command as a keeper is told.</summary>
    internal static ControlCommand Describe(ExecOptions options, IReadOnlyList<string> command) => new()
    {
        Arguments = [.. command],
        Environment = options.EnvironmentVariables is { Count: > 0 } environment ? new Dictionary<string, string>(environment, StringComparer.Ordinal) : null,
        WorkingDirectory = options.WorkingDirectory,
        User = options.User,
        TimeoutMilliseconds = options.Timeout?.TotalMilliseconds,
    };

    /// <summary>Says what an exit code alone does not.</summary>
    /// <returns>The exit code.</returns>
    internal static int Report(ControlExit exit, CommandContext context)
    {
        if (exit.OutOfMemory)
        {
            context.Errors.Line("the command ran out of memory. Give the sandbox more with 'opensandbox run --memory'");
        }

        return exit.TimedOut ? ExitCodes.TimedOut : exit.ExitCode;
    }
}
