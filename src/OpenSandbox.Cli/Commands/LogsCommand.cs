using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox logs</c>.</summary>
internal sealed class LogsCommand : Command, IHasExamples
{
    private const int SigPipe = 13;

    private readonly Argument<string> _sandbox = KeptArgument.One();

    private readonly Argument<string?> _process = new("PROCESS")
    {
        Description = "The id of a process, see 'opensandbox ps' (default: the one last started with 'exec --detach')",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<bool> _follow = new("--follow", "-f") { Description = "Go on with what it writes, until it ends" };

    private readonly Option<long?> _since = new("--since-offset")
    {
        Description = "Begin at this byte of its output (default: the oldest that is kept)",
        HelpName = "N",
        CustomParser = ParseOffset,
    };

    internal LogsCommand(CommandContext context)
        : base("logs", "Show what a process in the background of a kept sandbox has written")
    {
        Arguments.Add(_sandbox);
        Arguments.Add(_process);
        Options.Add(_follow);
        Options.Add(_since);
        SetAction((parsed, _) => ShowAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        Its standard output and error are this program's. The sandbox keeps the last MiB of a process; what is missing is told on standard
        error. Ending this program does nothing to the process.

        Examples:
          process=$(opensandbox exec --detach sb-1a2b3c4d -- make test)
          opensandbox logs -f sb-1a2b3c4d $process
          opensandbox logs --since-offset $(opensandbox ps --json sb-1a2b3c4d | jq 'last.outputEnd') -f sb-1a2b3c4d
        """;

    private async Task<int> ShowAsync(ParseResult parsed, CommandContext context)
    {
        var wanted = new ControlOutput { Process = parsed.GetValue(_process), From = parsed.GetValue(_since), Follow = parsed.GetValue(_follow) };
        try
        {
            using KeptSandbox kept = await Keeping.KeptAccess.ConnectAsync(parsed.GetValue(_sandbox)!, context).ConfigureAwait(false);
            await kept.CopyOutputAsync(
                wanted,
                new PassThroughSink(),
                bytes => context.Errors.Line($"{bytes} bytes of output are not kept any more"),
                context.Signals.Token).ConfigureAwait(false);
            return ExitCodes.Success;
        }
        catch (BrokenPipeException)
        {
            return ExitCodes.OfSignal(SigPipe);
        }
    }

    private static long? ParseOffset(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long offset))
        {
            return offset;
        }

        result.AddError($"option --since-offset: '{text}' is not a number of bytes");
        return null;
    }
}
