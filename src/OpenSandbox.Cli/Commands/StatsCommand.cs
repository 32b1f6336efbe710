using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Reporting;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox stats</c>.</summary>
internal sealed class StatsCommand : Command, IHasExamples
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(1);

    private readonly Argument<string> _sandbox = KeptArgument.One();

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object a line" };

    private readonly Option<bool> _watch = new("--watch", "-w") { Description = "Another line every second, until Ctrl-C" };

    internal StatsCommand(CommandContext context)
        : base("stats", "Show what a kept sandbox uses")
    {
        Arguments.Add(_sandbox);
        Options.Add(_json);
        Options.Add(_watch);
        SetAction((parsed, _) => ShowAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        All processes of the sandbox count together, as its kernel says. CPU% is of one CPU, since the line before. Memory includes caches
        of files. KILLED counts processes killed for lack of memory.

        Examples:
          opensandbox stats sb-1a2b3c4d
          opensandbox stats --watch --json sb-1a2b3c4d | jq .cpuPercent
        """;

    private async Task<int> ShowAsync(ParseResult parsed, CommandContext context)
    {
        CancellationToken ending = context.Signals.Token;
        TextWriter output = parsed.InvocationConfiguration.Output;
        bool json = parsed.GetValue(_json);
        using KeptSandbox kept = await Keeping.KeptAccess.ConnectAsync(parsed.GetValue(_sandbox)!, context).ConfigureAwait(false);
        using var timer = new PeriodicTimer(s_interval);
        UsageRow? before = null;
        do
        {
            UsageRow row = await kept.GetUsageAsync(ending).ConfigureAwait(false);
            row = row with { CpuPercent = PercentSince(before, row) };
            if (json)
            {
                output.WriteLine(JsonSerializer.Serialize(row, CliJsonContext.Readable.UsageRow));
            }
            else
            {
                Write(output, row, heading: before is null);
            }

            output.Flush();
            before = row;
        }
        while (parsed.GetValue(_watch) && await timer.WaitForNextTickAsync(ending).ConfigureAwait(false));
        return ExitCodes.Success;
    }

    /// <summary>Percent of one CPU between two moments.</summary>
    internal static double? PercentSince(UsageRow? before, UsageRow now) => before is not null && now.At > before.At
        ? Math.Round(100 * (now.CpuMilliseconds - before.CpuMilliseconds) / (now.At - before.At).TotalMilliseconds, 1)
        : null;

    private static void Write(TextWriter output, UsageRow row, bool heading)
    {
        const string format = "{0,10}  {1,6}  {2,9}  {3,9}  {4,9}  {5,9}  {6,9}  {7,9}  {8,6}";
        if (heading)
        {
            output.WriteLine(string.Format(CultureInfo.InvariantCulture, format, "CPU", "CPU%", "MEMORY", "PEAK", "LIMIT", "PROCESSES", "READ", "WRITTEN", "KILLED"));
        }

        output.WriteLine(string.Format(
            CultureInfo.InvariantCulture,
            format,
            string.Create(CultureInfo.InvariantCulture, $"{row.CpuMilliseconds / 1_000:0.00}s"),
            row.CpuPercent is double percent ? percent.ToString("0.0", CultureInfo.InvariantCulture) : "-",
            Bytes(row.MemoryBytes),
            Bytes(row.MemoryPeakBytes),
            Bytes(row.MemoryLimitBytes),
            row.ProcessLimit is long limit ? $"{row.Processes}/{limit}" : $"{row.Processes}",
            Bytes(row.DiskReadBytes),
            Bytes(row.DiskWrittenBytes),
            row.OutOfMemoryKills));

        static string Bytes(long? bytes) => bytes is long known ? TextTable.Bytes(known) : "-";
    }
}
