using System.CommandLine;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox checkpoint rm</c>.</summary>
internal sealed class CheckpointRemoveCommand : Command, IHasExamples
{
    private readonly Argument<string[]> _checkpoints = new("CHECKPOINT")
    {
        Description = "Ids of checkpoints; see 'opensandbox checkpoint ls'",
        Arity = ArgumentArity.OneOrMore,
    };

    internal CheckpointRemoveCommand(CommandContext context)
        : base("rm", "Delete checkpoints; sandboxes that were made of them are not disturbed")
    {
        Arguments.Add(_checkpoints);
        SetAction((parsed, _) => RemoveAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        Of several, those that can be deleted are; the exit code is 125 if any could not.

        Examples:
          opensandbox checkpoint rm sn-0123456789abcdef
          opensandbox checkpoint ls --json | jq -r '.[].id' | xargs -r opensandbox checkpoint rm
        """;

    private async Task<int> RemoveAsync(ParseResult parsed, CommandContext context)
    {
        var records = SandboxRecords.Open(new SandboxHostOptions());
        bool all = true;
        foreach (string id in parsed.GetValue(_checkpoints)!.Distinct(StringComparer.Ordinal))
        {
            try
            {
                if (!await records.DeleteCheckpointAsync(CheckpointArgument.Require(id), context.Signals.Token).ConfigureAwait(false))
                {
                    throw new CliException($"there is no checkpoint {id}. See 'opensandbox checkpoint ls'");
                }
            }
            catch (Exception failure) when (failure is CliException or SandboxException)
            {
                context.Errors.Failure(failure);
                all = false;
            }
        }

        return all ? ExitCodes.Success : ExitCodes.Failed;
    }
}
