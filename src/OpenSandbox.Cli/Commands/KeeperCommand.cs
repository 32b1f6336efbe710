using System.CommandLine;
using OpenSandbox.Cli.Keeping;

namespace OpenSandbox.Cli.Commands;

/// <summary>The process in the background behind <c>opensandbox run --keep --detach</c>; for no one else to use.</summary>
internal sealed class KeeperCommand : Command
{
    internal const string Verb = "keeper";

    internal KeeperCommand(CommandContext context)
        : base(Verb, "Owns a sandbox in the background")
    {
        Hidden = true;
        SetAction((_, _) => Keeper.RunAsync(context.Signals));
    }
}
