using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Reporting;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox ps</c>.</summary>
internal sealed class ProcessListCommand : Command, IHasExamples
{
    private readonly Argument<string> _sandbox = KeptArgument.One();

    private readonly Option<bool> _json = new("--json") { Description = "Print an array of JSON objects" };

    internal ProcessListCommand(CommandContext context)
        : base("ps", "List what was started in a kept sandbox, running or ended lately")
    {
        Arguments.Add(_sandbox);
        Options.Add(_json);
        SetAction((parsed, _) => ListAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        What these processes have started themselves counts as theirs.

        Example:
          opensandbox ps --json sb-1a2b3c4d | jq '.[] | select(.running) | .command'
        """;

    private async Task<int> ListAsync(ParseResult parsed, CommandContext context)
    {
        using KeptSandbox kept = await Keeping.KeptAccess.ConnectAsync(parsed.GetValue(_sandbox)!, context).ConfigureAwait(false);
        ProcessRow[] all = await kept.ListProcessesAsync(context.Signals.Token).ConfigureAwait(false);
        TextWriter output = parsed.InvocationConfiguration.Output;
        if (parsed.GetValue(_json))
        {
            output.WriteLine(JsonSerializer.Serialize(all, CliJsonContext.Readable.ProcessRowArray));
            return ExitCodes.Success;
        }

        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        TextTable.Write(
            output,
            ["PROCESS", "PID", "USER", "STATE", "AGE", "CPU", "MEMORY", "COMMAND"],
            [.. all.Select(row => (string[])
            [
                ErrorWriter.OneLine(row.Id),
                row.Pid.ToString(CultureInfo.InvariantCulture),
                ErrorWriter.OneLine(row.User),
                row.Running ? (row.Detached ? "background" : "running") : $"exit {row.ExitCode}",
                ListCommand.Age(now - row.StartedAt),
                row.CpuMilliseconds is double cpu ? string.Create(CultureInfo.InvariantCulture, $"{cpu / 1_000:0.00}s") : "-",
                row.MemoryBytes is long memory ? TextTable.Bytes(memory) : "-",
                ErrorWriter.OneLine(string.Join(' ', row.Command)),
            ])]);
        return ExitCodes.Success;
    }
}
