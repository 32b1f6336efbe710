using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Previews;
using OpenSandbox.Host.Records;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Sandboxes;

/// <content>What earlier servers have left.</content>
internal sealed partial class SandboxService
{
    private const int ReopenSeconds = 5;
    private const int ReopenedAtOnce = 4;

    private readonly CancellationTokenSource _stopping = new();
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Task<Sandbox>> _opening = new(StringComparer.Ordinal);

    /// <summary>Takes over what earlier servers have left. What cannot be taken over now is as soon as it can.</summary>
    internal async Task RecoverAsync(CancellationToken cancellationToken)
    {
        RecoveryReport report = await host.RecoverAsync(cancellationToken).ConfigureAwait(false);
        Sandbox[] found = [.. report.Adopted, .. report.Hibernated, .. report.Crashed];
        HostLog.Recovered(
            logger, report.Adopted.Count, report.Hibernated.Count, report.Crashed.Count, (long)report.Duration.TotalMilliseconds);
        var ids = new HashSet<string>(StringComparer.Ordinal);
        foreach (Sandbox sandbox in found)
        {
            ids.Add(sandbox.Id);
            await ServeAsync(sandbox).ConfigureAwait(false);
        }

        var left = new List<string>();
        foreach (SandboxEntry entry in entries.All)
        {
            if (ids.Contains(entry.Id))
            {
                continue;
            }

            if (!host.Store.SandboxExists(entry.Id))
            {
                EndLost(entry);
            }
            else if (entry is { EndedAt: null } or { EndReason: Deleted })
            {
                // Its machine may run: a guest that was slow to answer, or a lock that somebody holds, is no end.
                HostLog.NotTakenOver(logger, entry.Id);
                left.Add(entry.Id);
            }
        }

        if (left.Count > 0)
        {
            _ = ReopenAsync(left);
        }
    }

    /// <summary>Finds a sandbox. One that has not been taken over yet is taken over now.</summary>
    /// <exception cref="ApiException">404: there is none; 410: there was one; 503: it cannot be taken over.</exception>
    internal async Task<Sandbox> GetOrOpenAsync(string id, CancellationToken cancellationToken)
    {
        if (entries.Find(id) is not { } entry || !IsLeft(entry))
        {
            return Get(id);
        }

        try
        {
            return await OpenAsync(id).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (SandboxException failure)
        {
            HostLog.BackgroundFailed(logger, id, "taking it over", failure);
            throw NotTakenOver(id);
        }
    }

    private static ApiException NotTakenOver(string id) =>
        new(StatusCodes.Status503ServiceUnavailable, $"sandbox {id} is there, but could not be taken over from an earlier server yet")
        {
            Code = "not_taken_over",
            Retryable = true,
            RetryAfter = ReopenSeconds,
        };

    /// <summary>Whether it is there, and not this server's yet.</summary>
    private bool IsLeft(SandboxEntry entry) => entry.EndedAt is null && !host.TryGet(entry.Id, out _) && host.Store.SandboxExists(entry.Id);

    private void EndLost(SandboxEntry entry)
    {
        if (entry.EndedAt is null)
        {
            End(entry.Id, "it was gone when the server started");
        }
    }

    /// <summary>Serves a sandbox that was found, with the entry that it had; ends one whose deletion was cut short.</summary>
    private async Task ServeAsync(Sandbox sandbox)
    {
        if (entries.Find(sandbox.Id) is { EndedAt: not null, EndReason: Deleted })
        {
            try
            {
                await sandbox.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
            }
            catch (SandboxException failure)
            {
                HostLog.BackgroundFailed(logger, sandbox.Id, "deleting it", failure); // the next server finds it again
            }

            return;
        }

        SandboxEntry? served = entries.Change(
            sandbox.Id, static entry => entry.EndedAt is null ? entry : entry with { EndedAt = null, EndReason = null });
        if (served is null)
        {
            // Made by another program on the same state, or its entry was lost: it is served all the same, its previews to nobody.
            entries.Put(Describe(sandbox, "base", options) with { PreviewTokenDigest = PreviewToken.DigestOfNone() });
        }

        Follow(sandbox);
    }

    /// <summary>Takes over one sandbox. Several calls for the same one are one attempt.</summary>
    private Task<Sandbox> OpenAsync(string id)
    {
        lock (_gate)
        {
            if (!_opening.TryGetValue(id, out Task<Sandbox>? opening))
            {
                _opening[id] = opening = OpenNowAsync(id);
            }

            return opening;
        }
    }

    private async Task<Sandbox> OpenNowAsync(string id)
    {
        await Task.Yield(); // the gate is held by the caller
        try
        {
            Sandbox sandbox = await host.OpenAsync(id, _stopping.Token).ConfigureAwait(false);
            await ServeAsync(sandbox).ConfigureAwait(false);
            return sandbox;
        }
        finally
        {
            lock (_gate)
            {
                _opening.Remove(id);
            }
        }
    }

    /// <summary>Goes on trying to take over what could not be when the server started.</summary>
    private async Task ReopenAsync(List<string> left)
    {
        CancellationToken stopping = _stopping.Token;
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(ReopenSeconds), options.Sandboxes.TimeProvider);
        try
        {
            while (left.Count > 0)
            {
                await timer.WaitForNextTickAsync(stopping).ConfigureAwait(false);
                await Parallel.ForEachAsync(
                    left,
                    new ParallelOptions { MaxDegreeOfParallelism = ReopenedAtOnce, CancellationToken = stopping },
                    async (id, _) => await TryOpenAsync(id).ConfigureAwait(false)).ConfigureAwait(false);
                left.RemoveAll(id => host.TryGet(id, out _) || !host.Store.SandboxExists(id));
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // The next server finds them.
            return;
        }
    }

    private async Task TryOpenAsync(string id)
    {
        try
        {
            if (entries.Find(id) is { } entry && !host.Store.SandboxExists(id))
            {
                EndLost(entry); // its other owner has ended it
                return;
            }

            await OpenAsync(id).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            // The boundary of a task that nobody awaits: it is tried again.
            HostLog.BackgroundFailed(logger, id, "taking it over", failure);
        }
    }
}
