using System.CommandLine;
using System.Net;
using System.Text;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Forwarding;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox port-forward</c>.</summary>
internal sealed class PortForwardCommand : Command, IHasExamples
{
    private readonly Argument<string> _sandbox = KeptArgument.One();

    private readonly Argument<string[]> _ports = new("PORT")
    {
        Description = "A port of the sandbox, as [LOCAL:]REMOTE; LOCAL 0 is any that is free",
        Arity = ArgumentArity.OneOrMore,
    };

    private readonly Option<string> _address = new("--address")
    {
        Description = "Address here to listen on (default: 127.0.0.1, which only this machine reaches)",
        HelpName = "IP",
        DefaultValueFactory = static _ => "127.0.0.1",
    };

    internal PortForwardCommand(CommandContext context)
        : base("port-forward", "Make ports of a kept sandbox reachable on this machine")
    {
        Arguments.Add(_sandbox);
        Arguments.Add(_ports);
        Options.Add(_address);
        SetAction((parsed, _) => ForwardAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        TCP, to the sandbox's own loopback interface, until Ctrl-C or the sandbox's end. One line on standard output for each port says
        where it can be reached. With another address everybody who reaches that address reaches the sandbox: there is no password.

        Examples:
          opensandbox port-forward sb-1a2b3c4d 8080
          opensandbox port-forward sb-1a2b3c4d 0:5432 9000:80
        """;

    private async Task<int> ForwardAsync(ParseResult parsed, CommandContext context)
    {
        CancellationToken ending = context.Signals.Token;
        string text = parsed.GetValue(_address)!;
        IPAddress address = IPAddress.TryParse(text, out IPAddress? known) ? known : throw new UsageException($"option --address: '{text}' is not an IP address");
        PortPair[] ports = [.. parsed.GetValue(_ports)!.Select(PortPair.Parse)];
        string id = parsed.GetValue(_sandbox)!;
        KeeperDirectory keepers = KeptArgument.Directory;
        List<PortForward> forwards = [];
        using KeptSandbox kept = await KeptAccess.ConnectAsync(id, context, blocks: false).ConfigureAwait(false);
        try
        {
            foreach (PortPair pair in ports)
            {
                var forward = PortForward.Start(keepers, id, address, pair, context.Errors.Line);
                forwards.Add(forward);
                StandardStreams.Write(StandardStreams.Output, Encoding.UTF8.GetBytes($"{forward.Address} -> {id}:{pair.Remote}\n"));
            }

            await kept.WaitForEndAsync(ending).ConfigureAwait(false);
            throw new CliException($"sandbox {id} is gone");
        }
        finally
        {
            foreach (PortForward forward in forwards)
            {
                await forward.DisposeAsync().ConfigureAwait(false);
            }
        }
    }
}
