using System.CommandLine;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox hibernate</c>.</summary>
internal sealed class HibernateCommand : Command, IHasExamples
{
    private readonly Argument<string> _sandbox = KeptArgument.One();

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object" };

    internal HibernateCommand(CommandContext context)
        : base("hibernate", "Put a kept sandbox away with all its memory; it takes neither memory nor CPU then")
    {
        Arguments.Add(_sandbox);
        Options.Add(_json);
        SetAction((parsed, _) => HibernateAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        Its memory, processes and files are on disk when this returns, and survive a restart of the machine. The process that kept it is gone.
        'opensandbox wake' brings it back under the same id. A sandbox that is hibernated already is left as it is.

        Examples:
          opensandbox hibernate sb-1a2b3c4d
          opensandbox ls -q | xargs -n 1 opensandbox hibernate
        """;

    private async Task<int> HibernateAsync(ParseResult parsed, CommandContext context)
    {
        string id = parsed.GetValue(_sandbox)!;
        HibernationRow row;
        using (KeptSandbox? kept = await ConnectAsync(id, context).ConfigureAwait(false))
        {
            row = kept is null ? new HibernationRow { Id = id } : await kept.HibernateAsync(context.Signals.Token).ConfigureAwait(false);
        }

        if (parsed.GetValue(_json))
        {
            parsed.InvocationConfiguration.Output.WriteLine(JsonSerializer.Serialize(row, CliJsonContext.Readable.HibernationRow));
        }

        return ExitCodes.Success;
    }

    /// <returns>The sandbox; nothing if it is hibernated already.</returns>
    private static async Task<KeptSandbox?> ConnectAsync(string id, CommandContext context)
    {
        KeptSandbox? kept = KeeperDirectory.IsId(id)
            ? await KeptSandbox.TryConnectAsync(KeptArgument.Directory, id, context.Signals.Token).ConfigureAwait(false)
            : null;
        if (kept is not null)
        {
            return kept;
        }

        return KeptAccess.Find(id).State == SandboxState.Hibernated ? null : await KeptAccess.ConnectAsync(id, context).ConfigureAwait(false);
    }
}
