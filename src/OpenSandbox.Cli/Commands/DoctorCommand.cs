using System.CommandLine;
using System.Text.Json;
using OpenSandbox.Cli.Images;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;
using Spectre.Console;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox doctor</c>.</summary>
internal sealed class DoctorCommand : Command, IHasExamples
{
    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object" };

    private readonly Option<bool> _probe = new("--probe") { Description = "Find out now whether a guest boots under KVM, and make the golden snapshot" };

    internal DoctorCommand(CommandContext context)
        : base("doctor", "Tell whether sandboxes can run here, and what to do if not")
    {
        Options.Add(_json);
        Options.Add(_probe);
        SetAction((parsed, _) => CheckAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        Exit code 0: everything that is needed is there. 1: something is missing. Warnings do not count.

        Examples:
          opensandbox doctor
          opensandbox doctor --json | jq -r '.findings[] | select(.status == "missing") | .remedy'
        """;

    /// <summary>Writes the findings as lines: status, name, what was found, and below that what to do.</summary>
    internal static void Write(TextWriter output, IReadOnlyList<DoctorFinding> findings)
    {
        int names = findings.Max(static finding => finding.Name.Length);
        foreach (DoctorFinding finding in findings)
        {
            output.WriteLine($"{StatusOf(finding),-StatusWidth}  {finding.Name.PadRight(names)}  {finding.Detail}");
            if (finding.Remedy is string remedy)
            {
                output.WriteLine($"{new string(' ', StatusWidth + names + 4)}-> {remedy}");
            }
        }
    }

    private const int StatusWidth = 7;

    private static string StatusOf(DoctorFinding finding) => finding.Status switch
    {
        HostPrerequisiteStatus.Ok => "ok",
        HostPrerequisiteStatus.Info => "info",
        HostPrerequisiteStatus.Warning => "warning",
        _ => "missing",
    };

    private static void WriteColoured(IReadOnlyList<DoctorFinding> findings)
    {
        var grid = new Grid();
        grid.AddColumn(new GridColumn().NoWrap());
        grid.AddColumn(new GridColumn().NoWrap());
        grid.AddColumn();
        foreach (DoctorFinding finding in findings)
        {
            string colour = finding.Status switch
            {
                HostPrerequisiteStatus.Ok => "green",
                HostPrerequisiteStatus.Info => "blue",
                HostPrerequisiteStatus.Warning => "yellow",
                _ => "red",
            };
            string text = Markup.Escape(finding.Detail);
            grid.AddRow(
                $"[{colour}]{StatusOf(finding)}[/]",
                Markup.Escape(finding.Name),
                finding.Remedy is string remedy ? $"{text}\n[grey]-> {Markup.Escape(remedy)}[/]" : text);
        }

        AnsiConsole.Write(grid);
    }

    private async Task<int> CheckAsync(ParseResult parsed, CommandContext context)
    {
        var options = new SandboxHostOptions();
        List<DoctorFinding> findings = [];
        if (parsed.GetValue(_probe))
        {
            findings.Add(await ProbeAsync(options, context).ConfigureAwait(false));
        }

        HostPrerequisiteReport report = await HostPrerequisites.CheckAsync(options, context.Signals.Token).ConfigureAwait(false);
        findings.InsertRange(0, report.Items.Select(static item => new DoctorFinding(item.Name, item.Status, item.Detail, item.Remedy)));
        findings.Add(CheckImage(options));
        bool ready = findings.TrueForAll(static finding => finding.Status != HostPrerequisiteStatus.Missing);
        TextWriter output = parsed.InvocationConfiguration.Output;
        if (parsed.GetValue(_json))
        {
            output.WriteLine(JsonSerializer.Serialize(new DoctorReport(ready, [.. findings]), CliJsonContext.Readable.DoctorReport));
        }
        else if (Console.IsOutputRedirected)
        {
            Write(output, findings);
        }
        else
        {
            WriteColoured(findings);
        }

        return ready ? ExitCodes.Success : ExitCodes.NotReady;
    }

    /// <summary>Does what the first run would do, up to the sandbox.</summary>
    private static async Task<DoctorFinding> ProbeAsync(SandboxHostOptions options, CommandContext context)
    {
        var steps = new Steps(context.Errors);
        await using (steps.ConfigureAwait(false))
        {
            using var logger = new StepLogger(steps, context.Errors, verbose: false);
            try
            {
                SandboxHost host = await SandboxHost.StartAsync(options, logger, context.Signals.Token).ConfigureAwait(false);
                await using (host.ConfigureAwait(false))
                {
                    return new DoctorFinding("golden", HostPrerequisiteStatus.Ok, $"snapshot {host.Golden.Key} under {host.Accelerator}: {host.AcceleratorReason}", null);
                }
            }
            catch (SandboxException failure)
            {
                return new DoctorFinding("golden", HostPrerequisiteStatus.Missing, failure.Message.Split('\n')[0], (failure as HostPrerequisiteException)?.Remedy);
            }
        }
    }

    private static DoctorFinding CheckImage(SandboxHostOptions options)
    {
        const string name = "default-image", image = "default";

        // Opening the store makes its folder, which is not for a check to do.
        if (Directory.Exists(Path.Combine(options.StateDirectory, "images"))
            && SandboxImages.Open(options).List().FirstOrDefault(static known => known.Name == image) is SandboxImage found)
        {
            return new DoctorFinding(name, HostPrerequisiteStatus.Ok, $"built {found.CreatedAt:yyyy-MM-dd}, {TextTable.Bytes(found.StoredBytes)}", null);
        }

        return ImageRecipe.Find(ImageRecipe.FolderOf(Environment.GetEnvironmentVariable("OPENSANDBOX_ROOT")), image) is not null
            ? new DoctorFinding(name, HostPrerequisiteStatus.Info, "not built yet: the first run does that", "opensandbox image build")
            : new DoctorFinding(name, HostPrerequisiteStatus.Warning, "not in the store, and there is no recipe for it", "Start ./opensandbox of a checkout, or import one: opensandbox image import default FILE");
    }
}
