using System.CommandLine;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Images;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Cli.Terminals;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox shell</c>.</summary>
internal sealed class ShellCommand : Command, IHasExamples
{
    /// <summary>The best shell that the image has.</summary>
    private static readonly string[] s_shell = ["sh", "-c", "if command -v bash >/dev/null; then exec bash; else exec sh; fi"];

    private readonly ProcessOptions _process = new();

    private readonly SandboxOptions _options = new();

    private readonly Option<bool> _verbose;

    private readonly Argument<string?> _sandbox = new("SANDBOX")
    {
        Description = "The id of a kept sandbox; none: a new one, which ends with the shell",
        Arity = ArgumentArity.ZeroOrOne,
    };

    internal ShellCommand(CommandContext context, Option<bool> verbose)
        : base("shell", "Work in a sandbox from this terminal")
    {
        _verbose = verbose;
        _process.AddTo(this);
        _options.AddTo(this);
        Arguments.Add(_sandbox);
        SetAction((parsed, _) => RunAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        Every key goes to the shell, Ctrl-C too; 'exit' or Ctrl-D ends it. The exit code is the shell's. Other terminals reach the sandbox
        while it runs: its name is in 'opensandbox ls'. Without a terminal, standard input is the shell's script.

        Examples:
          opensandbox shell
          opensandbox shell --image data --memory 2g
          opensandbox shell -u root sb-1a2b3c4d
        """;

    private Task<int> RunAsync(ParseResult parsed, CommandContext context)
    {
        ControlCommand command = KeptRun.Describe(_process.Read(parsed), s_shell);
        if (parsed.GetValue(_sandbox) is not string id)
        {
            context.Errors.Debug |= parsed.GetValue(_verbose);
            return RunInNewAsync(parsed, command, context);
        }

        if (_options.AnyGiven(parsed))
        {
            throw new UsageException($"sandbox {id} is there already: image, memory and the like are chosen when it is made");
        }

        return LocalTerminal.IsInput
            ? KeptRun.ExecuteOnTerminalAsync(id, command, context)
            : KeptRun.ExecuteAsync(id, command, passInput: true, context);
    }

    private async Task<int> RunInNewAsync(ParseResult parsed, ControlCommand command, CommandContext context)
    {
        CancellationToken ending = context.Signals.Token;
        var steps = new Steps(context.Errors);
        await using (steps.ConfigureAwait(false))
        {
            using var logger = new StepLogger(steps, context.Errors, parsed.GetValue(_verbose));
            SandboxHost host = await SandboxHost.StartAsync(_options.ReadHost(parsed), logger, ending).ConfigureAwait(false);
            await using (host.ConfigureAwait(false))
            {
                SandboxSpec spec = _options.ReadSpec(parsed);
                await ImagePreparation.EnsureAllAsync(host, spec.Image, steps, ending).ConfigureAwait(false);
                await steps.DisposeAsync().ConfigureAwait(false);
                Sandbox sandbox = await host.CreateAsync(spec, ending).ConfigureAwait(false);
                await using (sandbox.ConfigureAwait(false))
                {
                    // The same way as to any kept sandbox, so that the other verbs have it too.
                    ControlServer server = ControlServer.Start(sandbox, host.Options, detached: false, context.Errors.Line);
                    await using (server.ConfigureAwait(false))
                    {
                        return await (LocalTerminal.IsInput
                            ? KeptRun.ExecuteOnTerminalAsync(sandbox.Id, command, context)
                            : KeptRun.ExecuteAsync(sandbox.Id, command, passInput: true, context)).ConfigureAwait(false);
                    }
                }
            }
        }
    }
}
