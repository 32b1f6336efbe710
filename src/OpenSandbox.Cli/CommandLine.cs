using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using OpenSandbox.Cli.Commands;
using OpenSandbox.Cli.Parsing;
using OpenSandbox.Cli.Reporting;

namespace OpenSandbox.Cli;

/// <summary>The program from its arguments to its exit code.</summary>
internal static class CommandLine
{
    private static readonly ParserConfiguration s_parser = new() { EnablePosixBundling = false, ResponseFileTokenReplacer = null };

    /// <summary>Runs one command line.</summary>
    /// <returns>The exit code, see <see cref="ExitCodes"/>.</returns>
    internal static async Task<int> RunAsync(string[] args, CommandContext context)
    {
        try
        {
            ParseResult parsed = Parse(args, context);
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null })
                .ConfigureAwait(false);
        }
        catch (Exception) when (context.Signals.Received is int signal)
        {
            // Whatever it was, it happened while everything was being ended because of the signal.
            return ExitCodes.OfSignal(signal);
        }
        catch (Exception failure)
        {
            context.Errors.Failure(failure);
            return CodeOf(failure);
        }
    }

    /// <summary>Reads the arguments and checks them.</summary>
    /// <exception cref="UsageException">They are wrong.</exception>
    internal static ParseResult Parse(string[] args, CommandContext context)
    {
        RootCommand root = Build(context);
        ParseResult parsed = root.Parse(ArgumentLine.Prepare(root, Normalize(args)), s_parser);
        if (parsed.Action is ParseErrorAction && parsed.Errors is [ParseError first, ..])
        {
            throw new UsageException($"{first.Message.TrimEnd('.')}. See '{PathOf(parsed.CommandResult)} --help'");
        }

        return parsed;
    }

    /// <summary>The exit code for a failure of this program.</summary>
    internal static int CodeOf(Exception failure) => failure is UsageException or ArgumentException ? ExitCodes.Usage : ExitCodes.Failed;

    private static RootCommand Build(CommandContext context)
    {
        var verbose = new Option<bool>("--verbose", "-v") { Description = "Say what is being done, and show failures in full", Recursive = true };
        var root = new RootCommand("Runs commands in throw-away virtual machines that start in a fraction of a second.")
        {
            verbose,
            new RunCommand(context, verbose),
            new ExecCommand(context),
            new ShellCommand(context, verbose),
            new CopyCommand(context),
            new ListCommand(context),
            new ProcessListCommand(context),
            new LogsCommand(context),
            new StatsCommand(context),
            new PortForwardCommand(context),
            new HibernateCommand(context),
            new WakeCommand(context),
            new PauseCommand(context),
            new ResumeCommand(context),
            new CheckpointCommand(context),
            new ForkCommand(context),
            new ExportCommand(context),
            new ImportCommand(context),
            new RemoveCommand(context),
            new PruneCommand(context),
            new KeeperCommand(context),
            new ImageCommand(context, verbose),
            new ServeCommand(context, verbose),
            new DoctorCommand(context),
            new VersionCommand(),
        };
        root.Directives.Clear();
        HelpWithExamples.Install(root);
        return root;
    }

    /// <summary><c>help run</c> is <c>run --help</c>, and nothing at all is <c>--help</c>.</summary>
    private static string[] Normalize(string[] args) => args switch
    {
        [] => ["--help"],
        ["help", .. string[] verb] => [.. verb, "--help"],
        _ => args,
    };

    private static string PathOf(CommandResult result) =>
        result.Parent is CommandResult parent ? $"{PathOf(parent)} {result.Command.Name}" : result.Command.Name;
}
