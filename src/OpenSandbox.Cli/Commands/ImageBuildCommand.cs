using System.CommandLine;
using OpenSandbox.Cli.Images;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox image build</c>.</summary>
internal sealed class ImageBuildCommand : Command, IHasExamples
{
    private readonly Argument<string> _name = new("NAME")
    {
        Description = "A recipe: a folder images/NAME of the checkout with a packages.txt",
        Arity = ArgumentArity.ZeroOrOne,
        DefaultValueFactory = static _ => "default",
    };

    private readonly Option<bool> _force = new("--force", "-f") { Description = "Build it even if its recipe has not changed" };

    internal ImageBuildCommand(CommandContext context, Option<bool> verbose)
        : base("build", "Build an image from its recipe, if that has changed")
    {
        Arguments.Add(_name);
        Options.Add(_force);
        SetAction((parsed, _) => BuildAsync(parsed, context, parsed.GetValue(verbose)));
    }

    /// <inheritdoc/>
    public string Examples => """
        Examples:
          opensandbox image build
          mkdir images/data && printf 'python3\npython3-numpy\n' > images/data/packages.txt
          opensandbox image build data && opensandbox run --image data -- python3 -c 'import numpy'
        """;

    private async Task<int> BuildAsync(ParseResult parsed, CommandContext context, bool verbose)
    {
        context.Errors.Debug |= verbose;
        string name = parsed.GetValue(_name)!;
        var options = new SandboxHostOptions();
        var steps = new Steps(context.Errors);
        await using (steps.ConfigureAwait(false))
        {
            using var logger = new StepLogger(steps, context.Errors, verbose);
            var images = new ImagePreparation(options, SandboxImages.Open(options, logger), steps);
            if (!await images.BuildAsync(name, parsed.GetValue(_force), context.Signals.Token).ConfigureAwait(false))
            {
                context.Errors.Line($"image '{name}' is up to date. Build it anyway with --force");
            }

            await images.EnsureWorkspaceAsync(context.Signals.Token).ConfigureAwait(false);
        }

        return ExitCodes.Success;
    }
}
