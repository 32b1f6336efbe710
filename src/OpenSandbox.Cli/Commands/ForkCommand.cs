using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json;
using OpenSandbox.Cli.Control;
using OpenSandbox.Cli.Keeping;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Cli.Running;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox fork</c>.</summary>
internal sealed class ForkCommand : Command, IHasExamples
{
    private const int MostForks = 64;

    /// <summary>Each loads the golden snapshot: more at once take longer in all.</summary>
    private const int KeepersAtOnce = 4;

    private readonly Argument<string> _source = new("SANDBOX|CHECKPOINT") { Description = "The id of a kept sandbox that runs, or of a checkpoint" };

    private readonly Option<int> _count = new("--count", "-n")
    {
        Description = $"How many, 1 to {MostForks} (default: 1)",
        HelpName = "N",
        CustomParser = ParseCount,
        DefaultValueFactory = static _ => 1,
    };

    private readonly HostOptions _host = new();

    private readonly Option<bool> _json = new("--json") { Description = "Print one JSON object" };

    internal ForkCommand(CommandContext context)
        : base("fork", "Make copies of a sandbox that go on from where it is; their ids are printed")
    {
        Arguments.Add(_source);
        Options.Add(_count);
        _host.AddTo(this);
        Options.Add(_json);
        SetAction((parsed, _) => ForkAsync(parsed, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        Every copy has the memory, processes and files of that instant, an id, a host name, a machine id and random numbers of its own, and is
        kept by a process of its own. The sandbox itself stands still for milliseconds and goes on.

        Examples:
          for id in $(opensandbox fork sb-1a2b3c4d -n 3); do opensandbox exec $id -- ./try.sh & done
          opensandbox fork sn-0123456789abcdef
        """;

    private async Task<int> ForkAsync(ParseResult parsed, CommandContext context)
    {
        string source = parsed.GetValue(_source)!;
        int count = parsed.GetValue(_count);
        SandboxHostOptions options = _host.Read(parsed);
        string[] ids;
        if (CheckpointArgument.IsId(source))
        {
            ids = await OwnHost.UseAsync(options, context, (host, ending) => ForkCheckpointAsync(host, source, count, ending)).ConfigureAwait(false);
        }
        else
        {
            using KeptSandbox kept = await KeptAccess.ConnectAsync(source, context).ConfigureAwait(false);
            ids = await kept.ForkAsync(count, context.Signals.Token).ConfigureAwait(false);
        }

        // They run, whatever happens here: one that gets no keeper now gets one with the next verb on it.
        bool all = await KeepAsync(ids, options, context).ConfigureAwait(false);
        TextWriter output = parsed.InvocationConfiguration.Output;
        if (parsed.GetValue(_json))
        {
            output.WriteLine(JsonSerializer.Serialize(new ForkRow { Ids = ids }, CliJsonContext.Readable.ForkRow));
        }
        else
        {
            foreach (string id in ids)
            {
                output.WriteLine(id);
            }
        }

        return all ? ExitCodes.Success : ExitCodes.Failed;
    }

    private static async Task<string[]> ForkCheckpointAsync(SandboxHost host, string checkpoint, int count, CancellationToken ending)
    {
        IReadOnlyList<Sandbox> forks = await host
            .ForkAsync(checkpoint, count, new ForkOptions { Lifetime = SandboxLifetime.Detached }, ending).ConfigureAwait(false);
        foreach (Sandbox fork in forks)
        {
            await fork.DisposeAsync().ConfigureAwait(false);
        }

        return [.. forks.Select(static fork => fork.Id)];
    }

    private static async Task<bool> KeepAsync(string[] ids, SandboxHostOptions options, CommandContext context)
    {
        int failed = 0;
        await Parallel.ForEachAsync(
            ids,
            new ParallelOptions { MaxDegreeOfParallelism = KeepersAtOnce, CancellationToken = context.Signals.Token },
            async (id, _) =>
            {
                try
                {
                    await KeeperStart.StartAsync(KeeperRequest.Opening(options, id), context).ConfigureAwait(false);
                }
                catch (Exception failure) when (failure is CliException or IOException or KeptSandboxException)
                {
                    context.Errors.Failure(failure);
                    Interlocked.Increment(ref failed);
                }
            }).ConfigureAwait(false);
        return failed == 0;
    }

    private static int ParseCount(ArgumentResult result)
    {
        string text = result.Tokens.Count == 0 ? "1" : result.Tokens[0].Value;
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count is >= 1 and <= MostForks)
        {
            return count;
        }

        result.AddError($"option --count: '{text}' is not a number from 1 to {MostForks}");
        return 1;
    }
}
