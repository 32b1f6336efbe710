using OpenSandbox.Cli.Commands;
using OpenSandbox.Cli.Control;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Keeping;

/// <summary>Reaches kept sandboxes: through their keeper, or through a new one where the last has gone and left its sandbox running.</summary>
internal static class KeptAccess
{
    /// <summary>Connects to a kept sandbox.</summary>
    /// <param name="id">The sandbox.</param>
    /// <param name="context">The program.</param>
    /// <param name="blocks">Whether threads wait in calls; see <see cref="ControlConnection"/>.</param>
    /// <exception cref="CliException">There is no such sandbox here, or it does not run.</exception>
    /// <exception cref="KeptSandboxException">Nobody keeps it, and it could not be taken over.</exception>
    internal static async Task<KeptSandbox> ConnectAsync(string id, CommandContext context, bool blocks = true)
    {
        KeeperDirectory directory = KeptArgument.Directory;
        if (!KeeperDirectory.IsId(id))
        {
            throw NoId(id);
        }

        CancellationToken ending = context.Signals.Token;
        if (await KeptSandbox.TryConnectAsync(directory, id, ending, blocks).ConfigureAwait(false) is KeptSandbox kept)
        {
            return kept;
        }

        var options = new SandboxHostOptions();
        RecordedSandbox recorded = SandboxRecords.Open(options).Find(id) ?? throw KeptSandbox.Missing(directory, id);
        if (recorded.State != SandboxState.Running)
        {
            throw NotRunning(recorded, directory);
        }

        try
        {
            await KeeperStart.StartAsync(KeeperRequest.Opening(options, id), context).ConfigureAwait(false);
        }
        catch (KeptSandboxException conflict) when (conflict.Code == SandboxErrorCode.Conflict)
        {
            // Another command line was quicker, or a program has it that uses the library.
            return await KeptSandbox.TryConnectAsync(directory, id, ending, blocks).ConfigureAwait(false) ?? throw Owned(id, conflict);
        }

        return await KeptSandbox.ConnectAsync(directory, id, ending, blocks).ConfigureAwait(false);
    }

    /// <summary>Starts a keeper for a sandbox that nobody keeps, and gets it going.</summary>
    /// <returns>How it came back; nothing if it ran.</returns>
    internal static async Task<WakeRow?> TakeOverAsync(KeeperRequest request, CommandContext context)
    {
        try
        {
            return (await KeeperStart.StartAsync(request, context).ConfigureAwait(false)).Woken;
        }
        catch (KeptSandboxException conflict) when (conflict.Code == SandboxErrorCode.Conflict)
        {
            throw Owned(request.Open!, conflict);
        }
    }

    /// <summary>What a sandbox that nobody keeps is.</summary>
    /// <exception cref="CliException">There is none.</exception>
    internal static RecordedSandbox Find(string id)
    {
        if (!KeeperDirectory.IsId(id))
        {
            throw NoId(id);
        }

        return SandboxRecords.Open(new SandboxHostOptions()).Find(id) ?? throw KeptSandbox.Missing(KeptArgument.Directory, id);
    }

    /// <summary>Says that a sandbox has lost its memory, and why.</summary>
    internal static void Tell(WakeRow woken, CommandContext context)
    {
        if (!woken.MemoryRestored)
        {
            context.Errors.Line($"sandbox {woken.Id} has booted from its disks{(woken.Reasons.Length > 0 ? $": {string.Join("; ", woken.Reasons)}" : "")}");
        }
    }

    private static CliException NotRunning(RecordedSandbox sandbox, KeeperDirectory directory)
    {
        if (sandbox.State == SandboxState.Hibernated)
        {
            return new CliException($"sandbox {sandbox.Id} is hibernated. Wake it: opensandbox wake {sandbox.Id}");
        }

        string log = directory.LogOf(sandbox.Id);
        string what = sandbox.State == SandboxState.Crashed
            ? $"sandbox {sandbox.Id} has crashed. Boot it from its disks: opensandbox wake {sandbox.Id}"
            : $"sandbox {sandbox.Id} was being deleted. Finish that: opensandbox rm {sandbox.Id}";
        return File.Exists(log) ? new CliException($"{what}. Its keeper's log: {log}") { Detail = KeeperLog.ReadTail(log) } : new CliException(what);
    }

    private static CliException NoId(string id) => new($"'{id}' is not a sandbox's id, such as sb-1a2b3c4d. See 'opensandbox ls'");

    private static CliException Owned(string id, Exception conflict) =>
        new($"sandbox {id} is in the hands of another program, which uses the library", conflict);
}
