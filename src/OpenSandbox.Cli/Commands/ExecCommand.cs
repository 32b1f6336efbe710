using System.CommandLine;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Parsing;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Cli.Terminals;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox exec</c>.</summary>
internal sealed class ExecCommand : Command, ITakesCommand, IHasExamples
{
    private readonly ProcessOptions _process = new("--timeout");

    private readonly Option<bool> _input = new("--interactive", "-i")
    {
        Description = "Pass standard input on even if it is a terminal; a pipe or file always is",
    };

    private readonly Option<bool> _terminal = new("--tty", "-t") { Description = "Run it on a terminal, which is this one" };

    private readonly Option<bool> _detach = new("--detach", "-d")
    {
        Description = "Leave it running in the background; its id is printed, for 'opensandbox logs'",
    };

    private readonly Option<bool> _noInput = new("--no-stdin", "-n")
    {
        Description = "Do not read standard input; the command's is empty. For loops that read it themselves",
    };

    private readonly Argument<string> _sandbox = KeptArgument.One();

    private readonly Argument<string[]> _command = new("COMMAND")
    {
        Description = "Program and arguments, without a shell; options behind it are its own",
        Arity = ArgumentArity.OneOrMore,
    };

    internal ExecCommand(CommandContext context)
        : base("exec", "Run a command in a kept sandbox, and exit as it does")
    {
        _process.AddTo(this);
        Options.Add(_input);
        Options.Add(_terminal);
        Options.Add(_noInput);
        Options.Add(_detach);
        Arguments.Add(_sandbox);
        Arguments.Add(_command);
        SetAction((parsed, _) => ExecuteAsync(parsed, context));
    }

    /// <inheritdoc/>
    public int ArgumentsBefore => 1;

    /// <inheritdoc/>
    public string Synopsis => "[options] SANDBOX [--] COMMAND [ARG...]";

    /// <inheritdoc/>
    public string Examples => """
        Standard input, output and error are the command's, byte for byte. The command is killed when this program ends before it,
        with everything that it has started. With --tty every key goes to the command, Ctrl-C too; its outputs are one.

        Examples:
          opensandbox exec sb-1a2b3c4d -- ls -l
          opensandbox exec -it sb-1a2b3c4d -- python3
          tar c . | opensandbox exec sb-1a2b3c4d -- tar x
          opensandbox exec -u root --timeout 1m sb-1a2b3c4d -- sh -c 'echo 1 >/proc/sys/vm/drop_caches'

          opensandbox logs -f sb-1a2b3c4d $(opensandbox exec -d sb-1a2b3c4d -- make test)

        Exit codes: the command's own, and those of 'opensandbox run'.
        """;

    private Task<int> ExecuteAsync(ParseResult parsed, CommandContext context)
    {
        ExecOptions options = _process.Read(parsed);
        (bool input, bool terminal, bool noInput, bool detach) =
            (parsed.GetValue(_input), parsed.GetValue(_terminal), parsed.GetValue(_noInput), parsed.GetValue(_detach));
        if (noInput && (input || terminal))
        {
            throw new UsageException("option --no-stdin: it contradicts --interactive and --tty");
        }

        if (detach && (input || terminal))
        {
            throw new UsageException("option --detach: a command in the background has neither input nor terminal from here");
        }

        string id = parsed.GetValue(_sandbox)!;
        ControlCommand command = KeptRun.Describe(options, parsed.GetValue(_command)!);
        return detach ? KeptRun.StartAsync(id, command, context)
            : terminal ? KeptRun.ExecuteOnTerminalAsync(id, command, context)
            : KeptRun.ExecuteAsync(id, command, input || (!noInput && !LocalTerminal.IsInput), context);
    }
}
