using System.CommandLine;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox rm</c>.</summary>
internal sealed class RemoveCommand : Command, IHasExamples
{
    private readonly Argument<string[]> _sandboxes = new("SANDBOX")
    {
        Description = "Ids of kept sandboxes; see 'opensandbox ls'",
        Arity = ArgumentArity.ZeroOrMore,
    };

    private readonly Option<bool> _all = new("--all", "-a") { Description = "All that are kept on this machine for this user" };

    internal RemoveCommand(CommandContext context)
        : base("rm", "End kept sandboxes, with everything in them")
    {
        Arguments.Add(_sandboxes);
        Options.Add(_all);
        SetAction((parsed, _) => RemoveAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        When this returns, nothing is left of the sandboxes and of the processes that kept them. Of several, those that can be ended are;
        the exit code is 125 if any could not.

        Examples:
          opensandbox rm sb-1a2b3c4d
          opensandbox rm --all
        """;

    private async Task<int> RemoveAsync(ParseResult parsed, CommandContext context)
    {
        string[] named = parsed.GetValue(_sandboxes) ?? [];
        bool all = parsed.GetValue(_all);
        if (all == named.Length > 0)
        {
            throw new UsageException(all ? "option --all: it leaves no others to be named" : "a sandbox to end is missing; write its id, or --all");
        }

        KeeperDirectory directory = KeptArgument.Directory;
        IReadOnlyList<string> ids = all ? directory.List() : [.. named.Distinct(StringComparer.Ordinal)];
        bool[] results = await Task.WhenAll(ids.Select(id => TryStopAsync(directory, id, mustExist: !all, context))).ConfigureAwait(false);
        return Array.TrueForAll(results, static removed => removed) ? ExitCodes.Success : ExitCodes.Failed;
    }

    private static async Task<bool> TryStopAsync(KeeperDirectory directory, string id, bool mustExist, CommandContext context)
    {
        try
        {
            using KeptSandbox? kept = mustExist
                ? await KeptSandbox.ConnectAsync(directory, id, context.Signals.Token).ConfigureAwait(false)
                : await KeptSandbox.TryConnectAsync(directory, id, context.Signals.Token).ConfigureAwait(false);
            if (kept is not null)
            {
                await kept.StopAsync(context.Signals.Token).ConfigureAwait(false);
            }

            return true;
        }
        catch (Exception failure) when (failure is CliException or IOException or KeptSandboxException)
        {
            context.Errors.Failure(failure);
            return false;
        }
    }
}
