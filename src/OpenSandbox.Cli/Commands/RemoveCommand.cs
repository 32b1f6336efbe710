using System.Collections.Concurrent;
using System.CommandLine;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox rm</c>.</summary>
internal sealed class RemoveCommand : Command, IHasExamples
{
    private readonly Argument<string[]> _sandboxes = new("SANDBOX")
    {
        Description = "Ids of kept sandboxes; see 'opensandbox ls'",
        Arity = ArgumentArity.ZeroOrMore,
    };

    private readonly Option<bool> _all = new("--all", "-a") { Description = "All that 'opensandbox ls' shows, hibernated ones too" };

    internal RemoveCommand(CommandContext context)
        : base("rm", "End kept sandboxes, and delete everything in them")
    {
        Arguments.Add(_sandboxes);
        Options.Add(_all);
        SetAction((parsed, _) => RemoveAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        When this returns, nothing is left of the sandboxes and of the processes that kept them; hibernated ones are deleted. Their checkpoints
        stay, see 'opensandbox checkpoint rm'. Of several, those that can be ended are;
        the exit code is 125 if any could not.

        Examples:
          opensandbox rm sb-1a2b3c4d
          opensandbox rm --all
        """;

    private async Task<int> RemoveAsync(ParseResult parsed, CommandContext context)
    {
        string[] named = parsed.GetValue(_sandboxes) ?? [];
        bool all = parsed.GetValue(_all);
        if (all == named.Length > 0)
        {
            throw new UsageException(all ? "option --all: it leaves no others to be named" : "a sandbox to end is missing; write its id, or --all");
        }

        KeeperDirectory directory = KeptArgument.Directory;
        IReadOnlyList<string> ids = all
            ? [.. directory.List().Concat(SandboxRecords.Open(new SandboxHostOptions()).List(context.Errors.Line).Select(static one => one.Id)).Distinct(StringComparer.Ordinal)]
            : [.. named.Distinct(StringComparer.Ordinal)];
        var machines = new ConcurrentBag<string>();
        bool[] results = await Task.WhenAll(ids.Select(id => Task.Run(() => TryRemoveAsync(directory, id, mustExist: !all, machines, context)))).ConfigureAwait(false);

        // What runs, or may, and has no keeper: one host for all of them.
        bool ended = machines.IsEmpty || await TryAsync(
            () => OwnHost.UseAsync(new SandboxHostOptions(), context, (host, ending) => DeleteAsync(host, [.. machines], directory, context, ending)),
            context).ConfigureAwait(false);
        return ended && Array.TrueForAll(results, static removed => removed) ? ExitCodes.Success : ExitCodes.Failed;
    }

    /// <summary>Ends a sandbox that has a keeper, or deletes one that sleeps.</summary>
    private static Task<bool> TryRemoveAsync(
        KeeperDirectory directory, string id, bool mustExist, ConcurrentBag<string> machines, CommandContext context) => TryAsync(
        async () =>
        {
            CancellationToken ending = context.Signals.Token;
            using KeptSandbox? kept = KeeperDirectory.IsId(id)
                ? await KeptSandbox.TryConnectAsync(directory, id, ending).ConfigureAwait(false)
                : null;
            if (kept is not null)
            {
                await kept.StopAsync(ending).ConfigureAwait(false);
                return true;
            }

            var records = SandboxRecords.Open(new SandboxHostOptions());
            if (await records.DeleteHibernatedAsync(id, ending).ConfigureAwait(false))
            {
                return true;
            }

            if (records.Find(id) is not null)
            {
                machines.Add(id);
            }
            else if (mustExist)
            {
                using KeptSandbox none = await KeptSandbox.ConnectAsync(directory, id, ending).ConfigureAwait(false);
            }

            return true;
        },
        context);

    private static async Task<bool> DeleteAsync(
        SandboxHost host, string[] ids, KeeperDirectory directory, CommandContext context, CancellationToken ending)
    {
        bool all = true;
        foreach (string id in ids)
        {
            all &= await TryAsync(
                async () =>
                {
                    Sandbox sandbox = await host.OpenAsync(id, ending).ConfigureAwait(false);
                    await sandbox.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
                    File.Delete(directory.LogOf(id));
                    return true;
                },
                context).ConfigureAwait(false);
        }

        return all;
    }

    private static async Task<bool> TryAsync(Func<Task<bool>> remove, CommandContext context)
    {
        try
        {
            return await remove().ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is CliException or IOException or KeptSandboxException or SandboxException)
        {
            context.Errors.Failure(failure);
            return false;
        }
    }
}
