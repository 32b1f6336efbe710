using System.CommandLine;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox image import</c>.</summary>
internal sealed class ImageImportCommand : Command
{
    private readonly Argument<string> _name = new("NAME") { Description = "What to call it: lower-case letters, digits, dots, hyphens, underscores" };

    private readonly Argument<string> _file = new("FILE") { Description = "A raw ext4 file system without partitions; it is copied" };

    internal ImageImportCommand(CommandContext context, Option<bool> verbose)
        : base("import", "Copy a root file system into the store")
    {
        Arguments.Add(_name);
        Arguments.Add(_file);
        SetAction((parsed, _) => ImportAsync(parsed, context, parsed.GetValue(verbose)));
    }

    private async Task<int> ImportAsync(ParseResult parsed, CommandContext context, bool verbose)
    {
        context.Errors.Debug |= verbose;
        string file = Path.GetFullPath(parsed.GetValue(_file)!);
        string name = parsed.GetValue(_name)!;
        var steps = new Steps(context.Errors);
        await using (steps.ConfigureAwait(false))
        {
            using var logger = new StepLogger(steps, context.Errors, verbose);
            SandboxImages images = SandboxImages.Open(new SandboxHostOptions(), logger);
            steps.Begin($"importing {file} as '{name}'");
            await images.ImportAsync(name, file, sourceDigest: null, context.Signals.Token).ConfigureAwait(false);
            steps.End();
        }

        return ExitCodes.Success;
    }
}
