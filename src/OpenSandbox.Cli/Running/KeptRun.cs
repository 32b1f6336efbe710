using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Terminals;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Running;

/// <summary>A command in a sandbox that another process keeps, joined to this program's standard streams.</summary>
internal static class KeptRun
{
    private const int SigPipe = 13;

    /// <summary>Runs a command on pipes.</summary>
    /// <returns>The exit code, see <see cref="ExitCodes"/>.</returns>
    internal static Task<int> ExecuteAsync(string id, ControlCommand command, bool passInput, CommandContext context) => RunAsync(id, context, async kept =>
    {
        ControlExit exit = await kept
            .ExecuteAsync(command, new PassThroughSink(), InputOf(passInput, context), context.Signals.Token)
            .ConfigureAwait(false);
        return Report(exit, context);
    });

    /// <summary>Runs a command on a terminal, which is this program's.</summary>
    /// <returns>The exit code, see <see cref="ExitCodes"/>.</returns>
    internal static Task<int> ExecuteOnTerminalAsync(string id, ControlCommand command, CommandContext context) =>
        RunAsync(id, context, kept => ExecuteOnTerminalAsync(kept, command, context));

    /// <summary>Runs a command on a terminal, which is this program's.</summary>
    /// <returns>The exit code of the command.</returns>
    internal static async Task<int> ExecuteOnTerminalAsync(KeptSandbox kept, ControlCommand command, CommandContext context)
    {
        CancellationToken ending = context.Signals.Token;
        ControlExit exit;
        bool ended = false;
        using (LocalTerminal.Take(() =>
        {
            (int width, int height) = LocalTerminal.Size;
            _ = kept.ResizeAsync(width, height, ending);
        }))
        {
            try
            {
                (int columns, int rows) = LocalTerminal.Size;
                command = command with { Terminal = new ControlTerminal { Columns = columns, Rows = rows, Type = LocalTerminal.Type } };
                exit = await kept.ExecuteAsync(command, new PassThroughSink(), new StandardInput(context.Errors), ending).ConfigureAwait(false);
                ended = exit is { Signal: null, TimedOut: false };
            }
            catch (KeptSandboxException failure) when (failure.Step is not null)
            {
                // It was not started, and has drawn nothing.
                ended = true;
                throw;
            }
            finally
            {
                if (!ended)
                {
                    LocalTerminal.ResetScreen();
                }
            }
        }

        return Report(exit, context);
    }

    /// <summary>Starts a command in the background, and prints its id.</summary>
    /// <returns>The exit code, see <see cref="ExitCodes"/>.</returns>
    internal static Task<int> StartAsync(string id, ControlCommand command, CommandContext context) => RunAsync(id, context, async kept =>
    {
        ControlStarted started = await kept.StartAsync(command, context.Signals.Token).ConfigureAwait(false);
        StandardStreams.Write(StandardStreams.Output, System.Text.Encoding.UTF8.GetBytes($"{started.Id}\n"));
        return ExitCodes.Success;
    });

    private static async Task<int> RunAsync(string id, CommandContext context, Func<KeptSandbox, Task<int>> run)
    {
        try
        {
            using KeptSandbox kept = await Keeping.KeptAccess.ConnectAsync(id, context).ConfigureAwait(false);
            return await run(kept).ConfigureAwait(false);
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
