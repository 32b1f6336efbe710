using System.Runtime.ExceptionServices;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>Sandboxes that go on from another one's state.</content>
public sealed partial class SandboxHost
{
    /// <summary>Starts sandboxes that go on from one cut, side by side. All of them, or none.</summary>
    internal async Task<IReadOnlyList<Sandbox>> StartForksAsync(
        int count, SandboxSpec spec, SandboxCut cut, string parentId, CancellationToken cancellationToken)
    {
        (GoldenImage? golden, IReadOnlyList<string> mismatches) = await _goldens.FindAsync(cut.Golden, cancellationToken).ConfigureAwait(false);
        if (golden is null)
        {
            throw new GoldenImageException("the golden snapshot that the sandbox was made from cannot be used any more", mismatches);
        }

        using StateLease lease = await Store.EnterAsync(cancellationToken).ConfigureAwait(false);
        return await AllOrNoneAsync(
            count,
            async (id, token) =>
            {
                EnsureMemory(cut.Limits.MemoryMib);
                var start = new MachineStart(id, spec, golden, cut.Disks.Extend(NewLayersFor(spec, lease)))
                {
                    Memory = cut.Memory,
                    MemoryMib = cut.Limits.MemoryMib,
                    RenewIdentity = true,
                    Detached = NewDetachment(id, spec),
                };
                (SandboxRun run, _) = await StartMachineAsync(start, token).ConfigureAwait(false);
                return (run, cut.Limits with { GuestMemoryBytes = run.Resumed.MemoryBytes }, []);
            },
            spec,
            new SandboxEventDetails { ParentId = parentId },
            lease,
            cancellationToken).ConfigureAwait(false);
    }

    private async Task<IReadOnlyList<Sandbox>> AllOrNoneAsync(
        int count,
        Func<string, CancellationToken, Task<(SandboxRun Run, SandboxLimits Limits, IReadOnlyList<string> Reasons)>> start,
        SandboxSpec spec,
        SandboxEventDetails origin,
        StateLease lease,
        CancellationToken cancellationToken)
    {
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task<Sandbox>[] starting = [.. Enumerable.Range(0, count).Select(_ => StartForkAsync(start, spec, origin, lease, failed))];
        Task<Sandbox[]> all = Task.WhenAll(starting);
        await ((Task)all).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (all.IsCompletedSuccessfully)
        {
            return await all.ConfigureAwait(false);
        }

        foreach (Task<Sandbox> one in starting)
        {
            if (one.IsCompletedSuccessfully)
            {
                await (await one.ConfigureAwait(false)).DeleteAsync(CancellationToken.None).ConfigureAwait(false);
            }
        }

        // The one that failed by itself, not those that were cancelled because of it.
        cancellationToken.ThrowIfCancellationRequested();
        ExceptionDispatchInfo.Throw(
            starting.Select(static one => one.Exception?.InnerException).OfType<Exception>().FirstOrDefault()
                ?? new OperationCanceledException("forking was cancelled"));
        return [];
    }

    private async Task<Sandbox> StartForkAsync(
        Func<string, CancellationToken, Task<(SandboxRun Run, SandboxLimits Limits, IReadOnlyList<string> Reasons)>> start,
        SandboxSpec spec,
        SandboxEventDetails origin,
        StateLease lease,
        CancellationTokenSource failed)
    {
        await Task.Yield();
        string? id = null;
        bool made = false;
        try
        {
            id = Reserve();
            (SandboxRun run, SandboxLimits limits, _) = await start(id, failed.Token).ConfigureAwait(false);
            Sandbox sandbox = await AdoptAsync(id, spec, run, limits, lease, failed.Token, origin).ConfigureAwait(false);
            made = true;
            sandbox.Tell(SandboxEventKind.Ready);
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

            if (id is not null)
            {
                Release(made ? null : id);
            }
        }
    }
}
