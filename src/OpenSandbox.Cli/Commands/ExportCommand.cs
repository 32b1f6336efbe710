using System.CommandLine;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox export</c>.</summary>
internal sealed class ExportCommand : Command, IHasExamples
{
    private const int SigPipe = 13;

    private readonly Argument<string> _sandbox = new("SANDBOX") { Description = "The id of a hibernated sandbox; see 'opensandbox ls'" };

    private readonly Argument<string> _file = new("FILE") { Description = "The archive; - is standard output" };

    private readonly Option<bool> _diskOnly = new("--disk-only") { Description = "Write the disks alone; what is made of it boots from them" };

    private readonly Option<bool> _force = new("--force", "-f") { Description = "Replace a file that exists" };

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object, on standard error if the archive is standard output" };

    internal ExportCommand(CommandContext context)
        : base("export", "Write a hibernated sandbox into an archive")
    {
        Arguments.Add(_sandbox);
        Arguments.Add(_file);
        Options.Add(_diskOnly);
        Options.Add(_force);
        Options.Add(_json);
        SetAction((parsed, _) => ExportAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        The file appears when it is complete. It has the memory and what has changed on the disks; the images that these began with must be
        where it is imported. Whoever can read it can read everything that was in the sandbox.

        Examples:
          opensandbox hibernate sb-1a2b3c4d && opensandbox export sb-1a2b3c4d work.osa
          opensandbox export sb-1a2b3c4d - | ssh elsewhere opensandbox import -
        """;

    private async Task<int> ExportAsync(ParseResult parsed, CommandContext context)
    {
        string id = parsed.GetValue(_sandbox)!, file = parsed.GetValue(_file)!;
        bool toOutput = file == "-";
        if (toOutput && !Console.IsOutputRedirected)
        {
            throw new UsageException("an archive is not written to a terminal; redirect standard output, or name a file");
        }

        if (!toOutput && !parsed.GetValue(_force) && Path.Exists(file))
        {
            throw new CliException($"{file} exists already. Replace it with --force");
        }

        await RequireHibernatedAsync(id, context).ConfigureAwait(false);
        var options = new ExportOptions { Kind = parsed.GetValue(_diskOnly) ? CheckpointKind.DiskOnly : CheckpointKind.Full };
        SandboxExport written;
        try
        {
            written = await OwnHost.UseAsync(
                new SandboxHostOptions(),
                context,
                async (host, ending) =>
                {
                    Sandbox sandbox = await host.OpenAsync(id, ending).ConfigureAwait(false);
                    await using (sandbox.ConfigureAwait(false))
                    {
                        return toOutput
                            ? await ExportToOutputAsync(sandbox, options, ending).ConfigureAwait(false)
                            : await sandbox.ExportAsync(Path.GetFullPath(file), options, ending).ConfigureAwait(false);
                    }
                }).ConfigureAwait(false);
        }
        catch (BrokenPipeException)
        {
            return ExitCodes.OfSignal(SigPipe);
        }

        if (parsed.GetValue(_json))
        {
            TextWriter output = toOutput ? parsed.InvocationConfiguration.Error : parsed.InvocationConfiguration.Output;
            output.WriteLine(JsonSerializer.Serialize(
                new ExportRow(id, written.Bytes, written.Sha256, written.HasMemory), CliJsonContext.Readable.ExportRow));
        }

        return ExitCodes.Success;
    }

    private static async Task<SandboxExport> ExportToOutputAsync(Sandbox sandbox, ExportOptions options, CancellationToken ending)
    {
        var output = new OutputStream();
        await using (output.ConfigureAwait(false))
        {
            return await sandbox.ExportAsync(output, options, ending).ConfigureAwait(false);
        }
    }

    private static async Task RequireHibernatedAsync(string id, CommandContext context)
    {
        using KeptSandbox? kept = KeeperDirectory.IsId(id)
            ? await KeptSandbox.TryConnectAsync(KeptArgument.Directory, id, context.Signals.Token).ConfigureAwait(false)
            : null;
        if (kept is not null || KeptAccess.Find(id).State != SandboxState.Hibernated)
        {
            throw new CliException($"sandbox {id} is not hibernated. Put it away first: opensandbox hibernate {id}");
        }
    }
}
