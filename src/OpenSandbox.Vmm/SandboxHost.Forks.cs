using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Snapshots;

namespace OpenSandbox.Vmm;

/// <content>Sandboxes that go on from another one's state.</content>
public sealed partial class SandboxHost
{
    /// <summary>Starts sandboxes that go on from one cut, side by side. All of them, or none.</summary>
    internal async Task<IReadOnlyList<Sandbox>> StartForksAsync(
        int count, SandboxSpec spec, SandboxCut cut, CancellationToken cancellationToken)
    {
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task<Sandbox>[] starting = [.. Enumerable.Range(0, count).Select(_ => StartForkAsync(spec, cut, failed))];
        Task<Sandbox[]> all = Task.WhenAll(starting);
        await ((Task)all).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (all.IsCompletedSuccessfully)
        {
            return await all.ConfigureAwait(false);
        }

        foreach (Task<Sandbox> start in starting)
        {
            if (start.IsCompletedSuccessfully)
            {
                await (await start.ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
            }
        }

        // The one that failed first, not those that were cancelled because of it.
        cancellationToken.ThrowIfCancellationRequested();
        System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(
            starting.Select(static start => start.Exception?.InnerException).OfType<Exception>().FirstOrDefault()
                ?? new OperationCanceledException("forking was cancelled"));
        return [];
    }

    private async Task<Sandbox> StartForkAsync(SandboxSpec spec, SandboxCut cut, CancellationTokenSource failed)
    {
        await Task.Yield();
        EnsureMemory(cut.Limits.MemoryMib);
        string id = Reserve();
        bool made = false;
        try
        {
            var start = new MachineStart(id, spec, cut.Golden, cut.Disks.Extend(NewLayer))
            {
                Memory = cut.Memory,
                Limits = cut.Limits,
                RenewIdentity = true,
            };
            (SandboxRun run, _) = await StartMachineAsync(start, failed.Token).ConfigureAwait(false);
            Sandbox sandbox = Adopt(id, spec, run, cut.Limits);
            made = true;
            return sandbox;
        }
        catch (IOException failure)
        {
            throw new SandboxStartException(id, "preparing the sandbox", failure.Message, "", failure);
        }
        finally
        {
            if (!made)
            {
                await failed.CancelAsync().ConfigureAwait(false);
            }

            Release(made ? null : id);
        }
    }
}
