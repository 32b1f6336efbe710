using System.CommandLine;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox checkpoint create</c>.</summary>
internal sealed class CheckpointCreateCommand : Command, IHasExamples
{
    private readonly Argument<string> _sandbox = KeptArgument.One();

    private readonly Option<string?> _name = new("--name") { Description = "What it is called; names need not be unique", HelpName = "NAME" };

    private readonly Option<bool> _diskOnly = new("--disk-only") { Description = "Save the disks alone; what is made of it boots from them" };

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object" };

    internal CheckpointCreateCommand(CommandContext context)
        : base("create", "Save a kept sandbox as it is now; its id is printed")
    {
        Arguments.Add(_sandbox);
        Options.Add(_name);
        Options.Add(_diskOnly);
        Options.Add(_json);
        SetAction((parsed, _) => CreateAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        The sandbox stands still for milliseconds. A checkpoint stays until 'opensandbox checkpoint rm', also when the sandbox is gone.

        Examples:
          before=$(opensandbox checkpoint create sb-1a2b3c4d --name 'before the upgrade')
          opensandbox checkpoint restore sb-1a2b3c4d $before
          opensandbox fork $before -n 3
        """;

    private async Task<int> CreateAsync(ParseResult parsed, CommandContext context)
    {
        using KeptSandbox kept = await KeptAccess.ConnectAsync(parsed.GetValue(_sandbox)!, context).ConfigureAwait(false);
        CheckpointRow row = await kept
            .CheckpointAsync(parsed.GetValue(_name), parsed.GetValue(_diskOnly), context.Signals.Token).ConfigureAwait(false);
        parsed.InvocationConfiguration.Output.WriteLine(
            parsed.GetValue(_json) ? JsonSerializer.Serialize(row, CliJsonContext.Readable.CheckpointRow) : row.Id);
        return ExitCodes.Success;
    }
}
