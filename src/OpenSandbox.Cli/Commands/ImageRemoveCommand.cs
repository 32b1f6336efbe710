using System.CommandLine;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox image rm</c>.</summary>
internal sealed class ImageRemoveCommand : Command
{
    private readonly Argument<string> _name = new("NAME") { Description = "Its name" };

    internal ImageRemoveCommand(CommandContext context)
        : base("rm", "Remove an image; sandboxes that run from it are not disturbed")
    {
        Arguments.Add(_name);
        SetAction(async (parsed, _) =>
        {
            string name = parsed.GetValue(_name)!;
            SandboxImages images = SandboxImages.Open(new SandboxHostOptions());
            return await images.RemoveAsync(name, context.Signals.Token).ConfigureAwait(false)
                ? ExitCodes.Success
                : throw new CliException($"there is no image '{name}'. See 'opensandbox image ls'");
        });
    }
}
