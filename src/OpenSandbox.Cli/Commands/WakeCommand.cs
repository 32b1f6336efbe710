using System.CommandLine;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox wake</c>.</summary>
internal sealed class WakeCommand : Command, IHasExamples
{
    private readonly Argument<string> _sandbox = KeptArgument.One();

    private readonly WakeChoice _choice = new();

    private readonly HostOptions _host = new();

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object" };

    internal WakeCommand(CommandContext context)
        : base("wake", "Bring a hibernated sandbox back, or boot one that has crashed")
    {
        Arguments.Add(_sandbox);
        _choice.AddTo(this);
        _host.AddTo(this);
        Options.Add(_json);
        SetAction((parsed, _) => WakeAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        It goes on where it was, kept by a process in the background. Where its memory cannot be used, because QEMU, the CPU or the golden
        snapshot are others by now, it boots from its disks, and standard error says why. A sandbox that runs is left as it is.

        Examples:
          opensandbox wake sb-1a2b3c4d
          opensandbox wake --require-memory sb-1a2b3c4d
        """;

    private async Task<int> WakeAsync(ParseResult parsed, CommandContext context)
    {
        string id = parsed.GetValue(_sandbox)!;
        (bool requireMemory, bool fromDisk) = _choice.Read(parsed);
        using KeptSandbox? kept = KeeperDirectory.IsId(id)
            ? await KeptSandbox.TryConnectAsync(KeptArgument.Directory, id, context.Signals.Token).ConfigureAwait(false)
            : null;
        WakeRow? woken = null;
        if (kept is null)
        {
            _ = KeptAccess.Find(id);
            KeeperRequest request = KeeperRequest.Opening(_host.Read(parsed), id) with { Wake = true, RequireMemory = requireMemory, FromDisk = fromDisk };
            woken = await KeptAccess.TakeOverAsync(request, context).ConfigureAwait(false);
        }

        woken ??= new WakeRow { Id = id, MemoryRestored = true };
        KeptAccess.Tell(woken, context);
        if (parsed.GetValue(_json))
        {
            parsed.InvocationConfiguration.Output.WriteLine(JsonSerializer.Serialize(woken, CliJsonContext.Readable.WakeRow));
        }

        return ExitCodes.Success;
    }
}
