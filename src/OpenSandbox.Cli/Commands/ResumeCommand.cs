using System.CommandLine;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox resume</c>.</summary>
internal sealed class ResumeCommand : Command
{
    private readonly Argument<string> _sandbox = KeptArgument.One();

    internal ResumeCommand(CommandContext context)
        : base("resume", "Let a paused sandbox go on; one that runs is left as it is")
    {
        Arguments.Add(_sandbox);
        SetAction((parsed, _) => ResumeAsync(parsed, context));
    }

    private async Task<int> ResumeAsync(ParseResult parsed, CommandContext context)
    {
        using KeptSandbox kept = await KeptAccess.ConnectAsync(parsed.GetValue(_sandbox)!, context).ConfigureAwait(false);
        await kept.ResumeAsync(context.Signals.Token).ConfigureAwait(false);
        return ExitCodes.Success;
    }
}
