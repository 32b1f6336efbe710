using System.CommandLine;
using OpenSandbox.Cli.Parsing;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
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
        Options.Add(_noInput);
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
        Standard input, output and error are the command's, byte for byte. The command is killed when this program ends before it.

        Examples:
          opensandbox exec sb-1a2b3c4d -- ls -l
          tar c . | opensandbox exec sb-1a2b3c4d -- tar x
          opensandbox exec -u root --timeout 1m sb-1a2b3c4d -- sh -c 'echo 1 >/proc/sys/vm/drop_caches'

        Exit codes: the command's own, and those of 'opensandbox run'.
        """;

    private Task<int> ExecuteAsync(ParseResult parsed, CommandContext context)
    {
        ExecOptions options = _process.Read(parsed);
        if (parsed.GetValue(_input) && parsed.GetValue(_noInput))
        {
            throw new UsageException("options --interactive and --no-stdin: they contradict each other");
        }

        bool pass = parsed.GetValue(_input) || (!parsed.GetValue(_noInput) && Console.IsInputRedirected);
        return KeptRun.ExecuteAsync(parsed.GetValue(_sandbox)!, options, parsed.GetValue(_command)!, pass, context);
    }
}
