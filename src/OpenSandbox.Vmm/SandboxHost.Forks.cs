using System.Runtime.ExceptionServices;
using OpenSandbox.Vmm.Lifecycle;

namespace OpenSandbox.Vmm;

/// <content>Sandboxes that go on from another one's state.</content>
public sealed partial class SandboxHost
{
    /// <summary>Starts sandboxes that go on from one cut, side by side. All of them, or none.</summary>
    internal Task<IReadOnlyList<Sandbox>> StartForksAsync(int count, SandboxSpec spec, SandboxCut cut, CancellationToken cancellationToken) =>
        AllOrNoneAsync(
            count,
            async (id, token) =>
            {
                EnsureMemory(cut.Limits.MemoryMib);
                var start = new MachineStart(id, spec, cut.Golden, cut.Disks.Extend(NewLayer)) { Memory = cut.Memory, RenewIdentity = true };
                (SandboxRun run, _) = await StartMachineAsync(start, token).ConfigureAwait(false);
                return (run, cut.Limits with { GuestMemoryBytes = run.Resumed.MemoryBytes }, []);
            },
            spec,
            cancellationToken);

    private async Task<IReadOnlyList<Sandbox>> AllOrNoneAsync(
        int count,
        Func<string, CancellationToken, Task<(SandboxRun Run, SandboxLimits Limits, IReadOnlyList<string> Reasons)>> start,
        SandboxSpec spec,
        CancellationToken cancellationToken)
    {
        using var failed = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task<Sandbox>[] starting = [.. Enumerable.Range(0, count).Select(_ => StartForkAsync(start, spec, failed))];
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
                await (await one.ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
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
        CancellationTokenSource failed)
    {
        await Task.Yield();
        string? id = null;
        bool made = false;
        try
        {
            id = Reserve();
            (SandboxRun run, SandboxLimits limits, _) = await start(id, failed.Token).ConfigureAwait(false);
            Sandbox sandbox = await AdoptOrEndAsync(id, spec, run, limits).ConfigureAwait(false);
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

            if (id is not null)
            {
                Release(made ? null : id);
            }
        }
    }

    /// <summary>Makes a started machine a sandbox, unless the host is being disposed: then the machine is ended.</summary>
    private async Task<Sandbox> AdoptOrEndAsync(string id, SandboxSpec spec, SandboxRun run, SandboxLimits? limits)
    {
        try
        {
            return Adopt(id, spec, run, limits);
        }
        catch
        {
            await run.Machine.DisposeAsync().ConfigureAwait(false);
            run.Disks.Dispose();
            throw;
        }
    }
}
