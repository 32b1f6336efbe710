using System.CommandLine;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Copying;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox cp</c>.</summary>
internal sealed class CopyCommand : Command, IHasExamples
{
    private const int SigPipe = 13;

    private readonly Argument<string> _source = new("SRC") { Description = "SANDBOX:/path, a path on this machine, or - for standard input" };

    private readonly Argument<string> _destination = new("DST") { Description = "SANDBOX:/path, a path on this machine, or - for standard output" };

    private readonly Option<string?> _user = new("--user", "-u")
    {
        Description = "Owner of what is copied into a sandbox, by name or UID[:GID] (default: sandbox)",
        HelpName = "USER",
    };

    internal CopyCommand(CommandContext context)
        : base("cp", "Copy files and directories into and out of a kept sandbox")
    {
        Arguments.Add(_source);
        Arguments.Add(_destination);
        Options.Add(_user);
        SetAction((parsed, _) => CopyAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        Directories are copied with everything in them. Into a directory that exists SRC is copied under its own name; 'dir/.' stands for
        what is in dir. Permission bits are kept, and symbolic links in directories copied as links. Owners and times are not.

        What comes out of a sandbox is not trusted: nothing is written outside DST, files lose set-user-id and set-group-id, and devices,
        FIFOs, sockets and links that lead out of DST are left out, which is told and makes the exit code 1.

        Examples:
          opensandbox cp ./src sb-1a2b3c4d:/workspace/
          opensandbox cp sb-1a2b3c4d:/workspace/result.json .
          tar c . | opensandbox cp - sb-1a2b3c4d:/tmp/all.tar
        """;

    private async Task<int> CopyAsync(ParseResult parsed, CommandContext context)
    {
        CopyPath source = CopyPath.Parse(parsed.GetValue(_source)!);
        CopyPath destination = CopyPath.Parse(parsed.GetValue(_destination)!);
        if (source.SandboxId is null == destination.SandboxId is null)
        {
            throw new UsageException("one side of a copy is in a sandbox and the other is not, such as: cp file sb-1a2b3c4d:/workspace/");
        }

        KeeperDirectory keepers = KeptArgument.Directory;
        CancellationToken ending = context.Signals.Token;
        var leftOut = new LeftOut(context.Errors);
        using KeptSandbox kept = await KeptAccess.ConnectAsync(source.SandboxId ?? destination.SandboxId!, context).ConfigureAwait(false);
        try
        {
            if (destination.SandboxId is not null)
            {
                var copy = new CopyIn(kept, keepers, parsed.GetValue(_user), leftOut, ending);
                await (source.IsStandardStream ? copy.CopyFromInputAsync(destination.Path) : copy.CopyAsync(source.Path, destination.Path)).ConfigureAwait(false);
            }
            else
            {
                var copy = new CopyOut(kept, leftOut, ending);
                await (destination.IsStandardStream ? copy.CopyToOutputAsync(source.Path) : copy.CopyAsync(source.Path, destination.Path)).ConfigureAwait(false);
            }
        }
        catch (BrokenPipeException)
        {
            return ExitCodes.OfSignal(SigPipe);
        }

        leftOut.Finish();
        return leftOut.Any ? ExitCodes.Incomplete : ExitCodes.Success;
    }
}
