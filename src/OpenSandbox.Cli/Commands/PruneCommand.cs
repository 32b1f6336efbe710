using System.CommandLine;
using System.Text.Json;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox prune</c>.</summary>
internal sealed class PruneCommand : Command, IHasExamples
{
    private readonly Option<bool> _dryRun = new("--dry-run") { Description = "Remove nothing; say what would be removed" };

    private readonly HostOptions _host = new();

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object" };

    internal PruneCommand(CommandContext context)
        : base("prune", "Remove what no sandbox and no checkpoint needs any more, and say what that frees")
    {
        Options.Add(_dryRun);
        _host.AddTo(this);
        Options.Add(_json);
        SetAction((parsed, _) => PruneAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        That is: remains of what was interrupted, layers of disks that nothing is built on, VMs without a sandbox, images without a name, and
        golden snapshots of other versions that nothing saved needs. Sandboxes, hibernated ones too, and checkpoints are never removed.

        Examples:
          opensandbox prune --dry-run
        """;

    private async Task<int> PruneAsync(ParseResult parsed, CommandContext context)
    {
        bool dryRun = parsed.GetValue(_dryRun);
        PruneReport report = await OwnHost
            .UseAsync(_host.Read(parsed), context, (host, ending) => host.PruneAsync(dryRun, ending)).ConfigureAwait(false);
        foreach (string problem in report.Problems)
        {
            context.Errors.Line(problem);
        }

        TextWriter output = parsed.InvocationConfiguration.Output;
        if (parsed.GetValue(_json))
        {
            output.WriteLine(JsonSerializer.Serialize(
                new PruneRow(dryRun, report.Removed, report.Kept, report.Problems, report.FreedBytes), CliJsonContext.Readable.PruneRow));
            return ExitCodes.Success;
        }

        if (report.Removed.Count > 0)
        {
            TextTable.Write(
                output,
                ["KIND", "SIZE", "PATH", "WHY"],
                [.. report.Removed.Select(static entry => (string[])[entry.Kind, TextTable.Bytes(entry.Bytes), entry.Path, entry.Reason])]);
        }

        output.WriteLine($"{TextTable.Bytes(report.FreedBytes)} {(dryRun ? "would be freed" : "freed")}");
        return ExitCodes.Success;
    }
}
