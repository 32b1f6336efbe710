using System.CommandLine;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox pause</c>.</summary>
internal sealed class PauseCommand : Command, IHasExamples
{
    private readonly Argument<string> _sandbox = KeptArgument.One();

    private readonly Option<bool> _pageOut = new("--page-out") { Description = "Ask the host to move its memory to swap; without swap nothing is moved" };

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object" };

    internal PauseCommand(CommandContext context)
        : base("pause", "Make a kept sandbox stand still in memory, until 'opensandbox resume'")
    {
        Arguments.Add(_sandbox);
        Options.Add(_pageOut);
        Options.Add(_json);
        SetAction((parsed, _) => PauseAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        Nothing of it is saved: a paused sandbox takes no CPU, but its memory. 'opensandbox hibernate' is for longer.

        Examples:
          opensandbox pause sb-1a2b3c4d && opensandbox resume sb-1a2b3c4d
          opensandbox pause --page-out --json sb-1a2b3c4d | jq .pagedOutBytes
        """;

    private async Task<int> PauseAsync(ParseResult parsed, CommandContext context)
    {
        using KeptSandbox kept = await KeptAccess.ConnectAsync(parsed.GetValue(_sandbox)!, context).ConfigureAwait(false);
        PauseRow row = await kept.PauseAsync(parsed.GetValue(_pageOut), context.Signals.Token).ConfigureAwait(false);
        if (parsed.GetValue(_json))
        {
            parsed.InvocationConfiguration.Output.WriteLine(JsonSerializer.Serialize(row, CliJsonContext.Readable.PauseRow));
        }

        return ExitCodes.Success;
    }
}
