using System.CommandLine;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox image</c>.</summary>
internal sealed class ImageCommand : Command
{
    internal ImageCommand(CommandContext context, Option<bool> verbose)
        : base("image", "Build, import, list and remove root file systems")
    {
        Subcommands.Add(new ImageBuildCommand(context, verbose));
        Subcommands.Add(new ImageImportCommand(context, verbose));
        Subcommands.Add(new ImageListCommand());
        Subcommands.Add(new ImageRemoveCommand(context));
    }
}
