using System.CommandLine;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox checkpoint</c>.</summary>
internal sealed class CheckpointCommand : Command
{
    internal CheckpointCommand(CommandContext context)
        : base("checkpoint", "Save a kept sandbox while it runs, and take it back")
    {
        Subcommands.Add(new CheckpointCreateCommand(context));
        Subcommands.Add(new CheckpointListCommand(context));
        Subcommands.Add(new CheckpointRestoreCommand(context));
        Subcommands.Add(new CheckpointRemoveCommand(context));
    }
}
