using System.CommandLine;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox checkpoint restore</c>.</summary>
internal sealed class CheckpointRestoreCommand : Command, IHasExamples
{
    private readonly Argument<string> _sandbox = KeptArgument.One();

    private readonly Argument<string> _checkpoint = CheckpointArgument.One();

    private readonly WakeChoice _choice = new();

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object" };

    internal CheckpointRestoreCommand(CommandContext context)
        : base("restore", "Take a sandbox back to one of its checkpoints; what came later is lost")
    {
        Arguments.Add(_sandbox);
        Arguments.Add(_checkpoint);
        _choice.AddTo(this);
        Options.Add(_json);
        SetAction((parsed, _) => RestoreAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        Memory, processes and files are as they were then. The sandbox may run or be hibernated; if the checkpoint cannot be used it goes on
        as it was.

        Examples:
          opensandbox checkpoint restore sb-1a2b3c4d sn-0123456789abcdef
        """;

    private async Task<int> RestoreAsync(ParseResult parsed, CommandContext context)
    {
        string id = parsed.GetValue(_sandbox)!, checkpoint = CheckpointArgument.Require(parsed.GetValue(_checkpoint)!);
        (bool requireMemory, bool fromDisk) = _choice.Read(parsed);
        using KeptSandbox? kept = KeeperDirectory.IsId(id)
            ? await KeptSandbox.TryConnectAsync(KeptArgument.Directory, id, context.Signals.Token).ConfigureAwait(false)
            : null;
        WakeRow woken;
        if (kept is not null)
        {
            woken = await kept.RestoreAsync(checkpoint, requireMemory, fromDisk, context.Signals.Token).ConfigureAwait(false);
        }
        else
        {
            _ = KeptAccess.Find(id);
            KeeperRequest request = KeeperRequest.Opening(new Vmm.SandboxHostOptions(), id) with
            {
                Restore = checkpoint,
                RequireMemory = requireMemory,
                FromDisk = fromDisk,
            };
            woken = await KeptAccess.TakeOverAsync(request, context).ConfigureAwait(false)
                ?? throw new ControlProtocolException("the keeper of the sandbox did not say how it came back");
        }

        KeptAccess.Tell(woken, context);
        if (parsed.GetValue(_json))
        {
            parsed.InvocationConfiguration.Output.WriteLine(JsonSerializer.Serialize(woken, CliJsonContext.Readable.WakeRow));
        }

        return ExitCodes.Success;
    }
}
