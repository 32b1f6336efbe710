using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox ls</c>.</summary>
internal sealed class ListCommand : Command, IHasExamples
{
    private readonly Option<bool> _json = new("--json") { Description = "Print an array of JSON objects" };

    private readonly Option<bool> _quiet = new("--quiet", "-q") { Description = "Print the ids only" };

    internal ListCommand(CommandContext context)
        : base("ls", "List the sandboxes that are kept on this machine for this user, running or hibernated")
    {
        Options.Add(_json);
        Options.Add(_quiet);
        SetAction((parsed, _) => ListAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        PID is the process that keeps the sandbox, if one does: a hibernated sandbox needs none, and one whose keeper was killed runs on
        and gets another with the next verb on it.

        Examples:
          opensandbox ls
          opensandbox ls --json | jq -r '.[] | select(.image == "default") | .id'
          opensandbox ls --json | jq '.[].isolation | .level, (.controls[] | select(.inForce | not))'
        """;

    /// <summary>Asks all kept sandboxes what they are, and looks for those that nobody keeps; those that are gone are not among them.</summary>
    internal static async Task<KeptSandboxInfo[]> CollectAsync(KeeperDirectory directory, ErrorWriter errors, CancellationToken cancellationToken)
    {
        KeptSandboxInfo?[] all = await Task.WhenAll(directory.List().Select(id => Task.Run(() => AskAsync(id), cancellationToken))).ConfigureAwait(false);
        var known = all.OfType<KeptSandboxInfo>().ToDictionary(static info => info.Id, StringComparer.Ordinal);
        foreach (RecordedSandbox recorded in SandboxRecords.Open(new SandboxHostOptions { StateDirectory = directory.StateDirectory }).List(errors.Line))
        {
            known.TryAdd(recorded.Id, new KeptSandboxInfo
            {
                Id = recorded.Id,
                State = recorded.State,
                Image = recorded.Image,
                CreatedAt = recorded.CreatedAt,
                MemoryMib = recorded.MemoryMib,
                Detached = true,
            });
        }

        return [.. known.Values.OrderBy(static info => info.CreatedAt)];

        async Task<KeptSandboxInfo?> AskAsync(string id)
        {
            try
            {
                using KeptSandbox? kept = await KeptSandbox.TryConnectAsync(directory, id, cancellationToken).ConfigureAwait(false);
                return kept is null ? null : await kept.GetInfoAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (Exception failure) when (failure is CliException or IOException or KeptSandboxException)
            {
                // One that does not answer does not hide the others.
                errors.Line(failure.Message);
                return null;
            }
        }
    }

    /// <summary>A duration as people read it: two units at most.</summary>
    internal static string Age(TimeSpan age) => age switch
    {
        { TotalMinutes: < 1 } => $"{Math.Max(0, (int)age.TotalSeconds)}s",
        { TotalHours: < 1 } => $"{age.Minutes}m{age.Seconds:00}s",
        { TotalDays: < 1 } => $"{age.Hours}h{age.Minutes:00}m",
        _ => $"{(int)age.TotalDays}d{age.Hours:00}h",
    };

    private async Task<int> ListAsync(ParseResult parsed, CommandContext context)
    {
        KeptSandboxInfo[] all = await CollectAsync(KeptArgument.Directory, context.Errors, context.Signals.Token).ConfigureAwait(false);
        TextWriter output = parsed.InvocationConfiguration.Output;
        if (parsed.GetValue(_json))
        {
            output.WriteLine(JsonSerializer.Serialize(all, CliJsonContext.Readable.KeptSandboxInfoArray));
            return ExitCodes.Success;
        }

        if (parsed.GetValue(_quiet))
        {
            foreach (KeptSandboxInfo info in all)
            {
                output.WriteLine(info.Id);
            }

            return ExitCodes.Success;
        }

        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        TextTable.Write(
            output,
            ["SANDBOX", "IMAGE", "STATE", "AGE", "MEMORY", "CPUS", "PID"],
            [.. all.Select(info => (string[])
            [
                info.Id,
                ErrorWriter.OneLine(info.Image ?? "-"),
                info.State.ToString().ToLowerInvariant(),
                Age(now - info.CreatedAt),
                TextTable.Bytes((long)info.MemoryMib << 20),
                info.Cpus?.ToString(CultureInfo.InvariantCulture) ?? "-",
                info.Pid?.ToString(CultureInfo.InvariantCulture) ?? "-",
            ])]);
        return ExitCodes.Success;
    }
}
