using System.CommandLine;
using OpenSandbox.Cli.Parsing;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox run</c>.</summary>
internal sealed class RunCommand : Command, ITakesCommand, IHasExamples
{
    private readonly ProcessOptions _process = new("--timeout", "-t");

    private readonly SandboxOptions _sandbox = new();

    private readonly Option<bool> _keep = new("--keep")
    {
        Description = "Keep the sandbox when the command has ended, until Ctrl-C or 'opensandbox rm'; COMMAND may be left out",
    };

    private readonly Option<bool> _detach = new("--detach", "-d")
    {
        Description = "With --keep: leave the sandbox to a process in the background; its id is the last line of standard output",
    };

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object with exit code, output and timings" };

    private readonly Option<bool> _noInput = new("--no-stdin", "-n")
    {
        Description = "Do not read standard input; the command's is empty. For loops that read it themselves",
    };

    private readonly Option<bool> _verbose;

    private readonly Argument<string[]> _command = new("COMMAND")
    {
        Description = "Program and arguments, without a shell; options behind it are its own",
        Arity = ArgumentArity.ZeroOrMore,
    };

    internal RunCommand(CommandContext context, Option<bool> verbose)
        : base("run", "Run a command in a new sandbox, and exit as it does")
    {
        _verbose = verbose;
        _process.AddTo(this);
        _sandbox.AddTo(this);
        Options.Add(_keep);
        Options.Add(_detach);
        Options.Add(_json);
        Options.Add(_noInput);
        Arguments.Add(_command);
        SetAction((parsed, _) =>
        {
            RunRequest request = Read(parsed);
            context.Errors.Debug |= request.Verbose;
            return request.Detach ? DetachedRun.ExecuteAsync(request, context) : CommandRun.ExecuteAsync(request, context);
        });
    }

    /// <inheritdoc/>
    public string Synopsis => "[options] [--] COMMAND [ARG...]";

    /// <inheritdoc/>
    public string Examples => """
        Standard input, output and error are the command's, byte for byte. The sandbox is gone when the command ends, unless --keep is
        given. The first run on a machine builds what is missing, which takes minutes; after that a sandbox starts in a fraction of a second.

        With --keep the other verbs reach the sandbox by its id, which is told on standard error. It ends with this program: by Ctrl-C, or
        'opensandbox rm'. With --keep --detach this program leaves it to a process in the background and exits as the command did. Nothing
        is kept when the command could not be started.

        Examples:
          opensandbox run -- python3 -c 'print(6*7)'
          tar c . | opensandbox run --memory 1g --timeout 5m -- sh -c 'tar x && make test'
          opensandbox run --json --timeout 10s -- sh -c 'echo out; echo err >&2; exit 3'
          opensandbox run -e LANG=C.UTF-8 -u root -w / -- id
          id=$(opensandbox run --keep --detach --memory 1g) && opensandbox exec $id -- uname -a && opensandbox rm $id

        Exit codes:
          the command's own; 128+N if signal N ended it
          124      the command's time was up (--timeout)
          125      opensandbox failed; one line on standard error says why
          126      the command cannot be executed
          127      there is no such command in the sandbox
          129/130/143   ended by SIGHUP, SIGINT (Ctrl-C) or SIGTERM, and the sandbox with it
          141      whoever read the output has gone
          2        the options are wrong; nothing was started
        A command may use these numbers itself; with --json, opensandbox's own failures have an "error".
        """;

    /// <summary>What the user asked for.</summary>
    /// <exception cref="UsageException">It makes no sense.</exception>
    internal RunRequest Read(ParseResult parsed)
    {
        var request = new RunRequest
        {
            Host = _sandbox.ReadHost(parsed),
            Spec = _sandbox.ReadSpec(parsed) with
            {
                Lifetime = parsed.GetValue(_keep) ? SandboxLifetime.Detached : SandboxLifetime.Attached,
            },
            Exec = _process.Read(parsed),
            Command = parsed.GetValue(_command) ?? [],
            PassInput = !parsed.GetValue(_noInput),
            Keep = parsed.GetValue(_keep),
            Detach = parsed.GetValue(_detach),
            Json = parsed.GetValue(_json),
            Verbose = parsed.GetValue(_verbose),
        };
        if (request.Detach && !request.Keep)
        {
            throw new UsageException("option --detach: it needs --keep, as a sandbox otherwise ends with its command");
        }

        return request.Command.Count > 0 || request.Keep ? request : throw new UsageException($"a command to run is missing. See 'opensandbox {Name} --help'");
    }
}
