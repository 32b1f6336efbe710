using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox import</c>.</summary>
internal sealed class ImportCommand : Command, IHasExamples
{
    private readonly Argument<string> _file = new("FILE") { Description = "An archive of 'opensandbox export'; - is standard input" };

    private readonly Option<bool> _keepId = new("--keep-id") { Description = "Give it the id that it had, which must be free here" };

    private readonly Option<bool> _requireMemory = new("--require-memory") { Description = "Refuse it if its memory cannot be used here" };

    private readonly Option<bool> _diskOnly = new("--disk-only") { Description = "Take the disks alone; it boots from them. For archives of strangers" };

    private readonly Option<bool> _noNetwork = new("--no-network") { Description = "Let it reach nothing, whatever the archive says" };

    private readonly Option<int> _maximum = new("--max-size")
    {
        Description = "Most that it may unpack to, such as 512m or 100g (default: 64g)",
        HelpName = "SIZE",
        CustomParser = ParseSize,
        DefaultValueFactory = static _ => DefaultMaximumMib,
    };

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object" };

    private const int DefaultMaximumMib = 64 << 10;

    internal ImportCommand(CommandContext context)
        : base("import", "Make a hibernated sandbox of an archive; its id is printed")
    {
        Arguments.Add(_file);
        Options.Add(_keepId);
        Options.Add(_requireMemory);
        Options.Add(_diskOnly);
        Options.Add(_noNetwork);
        Options.Add(_maximum);
        Options.Add(_json);
        SetAction((parsed, _) => ImportAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        All of the archive is checked before anything of it is there. Its images must be here; if one is not, the message says which.

        Examples:
          opensandbox wake $(opensandbox import work.osa)
          opensandbox import --disk-only --no-network from-a-stranger.osa
        """;

    private async Task<int> ImportAsync(ParseResult parsed, CommandContext context)
    {
        string file = parsed.GetValue(_file)!;
        (bool requireMemory, bool diskOnly) = (parsed.GetValue(_requireMemory), parsed.GetValue(_diskOnly));
        if (requireMemory && diskOnly)
        {
            throw new UsageException("option --disk-only: it contradicts --require-memory");
        }

        if (file != "-" && !File.Exists(file))
        {
            throw new CliException($"there is no file {file}");
        }

        var options = new ImportOptions
        {
            KeepId = parsed.GetValue(_keepId),
            RequireMemory = requireMemory,
            Kind = diskOnly ? CheckpointKind.DiskOnly : CheckpointKind.Full,
            Egress = parsed.GetValue(_noNetwork) ? EgressPolicy.DenyAll : null,
            MaxBytes = (long)parsed.GetValue(_maximum) << 20,

            // Nobody keeps it yet; when it is woken it must not end with the process that does.
            Lifetime = SandboxLifetime.Detached,
        };
        ImportRow row = await OwnHost.UseAsync(
            new SandboxHostOptions(),
            context,
            async (host, ending) =>
            {
                Sandbox sandbox = file == "-"
                    ? await ImportInputAsync(host, options, ending).ConfigureAwait(false)
                    : await host.ImportAsync(Path.GetFullPath(file), options, ending).ConfigureAwait(false);
                await using (sandbox.ConfigureAwait(false))
                {
                    return new ImportRow(sandbox.Id, sandbox.Spec.Image);
                }
            }).ConfigureAwait(false);
        parsed.InvocationConfiguration.Output.WriteLine(
            parsed.GetValue(_json) ? JsonSerializer.Serialize(row, CliJsonContext.Readable.ImportRow) : row.Id);
        return ExitCodes.Success;
    }

    private static async Task<Sandbox> ImportInputAsync(SandboxHost host, ImportOptions options, CancellationToken ending)
    {
        var input = new InputStream();
        await using (input.ConfigureAwait(false))
        {
            return await host.ImportAsync(input, options, ending).ConfigureAwait(false);
        }
    }

    private static int ParseSize(ArgumentResult result)
    {
        const int mostMib = 64 << 20;
        if (result.Tokens.Count == 0)
        {
            return DefaultMaximumMib;
        }

        string text = result.Tokens[0].Value;
        if (Parsing.DiskSize.TryParseMib(text, mostMib, out int mib))
        {
            return mib;
        }

        result.AddError($"option --max-size: '{text}' is not a size from 1m to 64t, such as 512m or 100g");
        return DefaultMaximumMib;
    }
}
