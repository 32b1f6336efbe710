using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox checkpoint ls</c>.</summary>
internal sealed class CheckpointListCommand : Command
{
    private readonly Argument<string?> _sandbox = new("SANDBOX")
    {
        Description = "Only those of this sandbox, which may be gone (default: all)",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private readonly Option<bool> _json = new("--json") { Description = "Print an array of JSON objects" };

    internal CheckpointListCommand(CommandContext context)
        : base("ls", "List checkpoints, oldest first")
    {
        Aliases.Add("list");
        Arguments.Add(_sandbox);
        Options.Add(_json);
        SetAction(parsed => List(parsed, context));
    }

    private int List(ParseResult parsed, CommandContext context)
    {
        CheckpointRow[] rows =
        [
            .. SandboxRecords.Open(new SandboxHostOptions()).ListCheckpoints(parsed.GetValue(_sandbox), context.Errors.Line).Select(CheckpointRow.From),
        ];
        TextWriter output = parsed.InvocationConfiguration.Output;
        if (parsed.GetValue(_json))
        {
            output.WriteLine(JsonSerializer.Serialize(rows, CliJsonContext.Readable.CheckpointRowArray));
            return ExitCodes.Success;
        }

        TextTable.Write(
            output,
            ["CHECKPOINT", "SANDBOX", "HOLDS", "MEMORY", "CREATED", "NAME"],
            [.. rows.Select(static row => (string[])
            [
                row.Id,
                row.SandboxId,
                row.Kind == CheckpointKind.Full ? "memory" : "disks",
                row.Kind == CheckpointKind.Full ? TextTable.Bytes(row.MemoryBytes) : "-",
                row.CreatedAt.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
                ErrorWriter.OneLine(row.Name ?? "-"),
            ])]);
        return ExitCodes.Success;
    }
}
