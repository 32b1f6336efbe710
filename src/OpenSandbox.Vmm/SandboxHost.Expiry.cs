using System.Collections.Concurrent;
using OpenSandbox.Vmm.Expiry;

namespace OpenSandbox.Vmm;

/// <content>Sandboxes whose time is up: one timer for all of them, and few that are dealt with at a time.</content>
public sealed partial class SandboxHost
{
    /// <summary>Expired sandboxes that are dealt with side by side: hundreds that have waited for a host are not to take it over.</summary>
    private const int MaxExpiriesAtOnce = 4;

    /// <summary>By how much those whose time was up when this host found them follow each other, and after how many the count begins again.</summary>
    private static readonly TimeSpan s_overdueStep = TimeSpan.FromMilliseconds(100);

    private const int OverdueSteps = 600;

    private readonly ConcurrentDictionary<Task, byte> _expiries = new();
    private readonly SemaphoreSlim _expiryTurns = new(MaxExpiriesAtOnce, MaxExpiriesAtOnce);
    private int _overdue;

    /// <summary>When sandboxes are to be looked at.</summary>
    internal TimerQueue<Sandbox> Timers { get; }

    /// <summary>What a sandbox whose time was up already when it was found is put off by.</summary>
    internal TimeSpan NextOverdue() => s_overdueStep * (Interlocked.Increment(ref _overdue) % OverdueSteps);

    /// <summary>What a fork inherits: all but a deadline that has passed.</summary>
    internal SandboxExpiry Inherit(SandboxExpiry parent) =>
        parent.Deadline <= Options.TimeProvider.GetUtcNow() ? parent with { Deadline = null } : parent;

    /// <summary>Deals with a sandbox whose time is up, when it is its turn. The result is not waited for; closing this host does.</summary>
    internal void RunExpiry(Sandbox sandbox)
    {
        CancellationToken closing = _closing.Token;
        var running = Task.Run(
            async () =>
            {
                try
                {
                    await _expiryTurns.WaitAsync(closing).ConfigureAwait(false);
                }
                catch (OperationCanceledException)
                {
                    return; // the host closes, and with it every sandbox
                }

                try
                {
                    await sandbox.ExpireAsync(closing).ConfigureAwait(false);
                }
                catch (Exception failure)
                {
                    // By a defect: this is where it would be lost.
                    VmmLog.ExpiryDefect(Logger, sandbox.Id, failure);
                }
                finally
                {
                    _expiryTurns.Release();
                }
            },
            CancellationToken.None);
        _expiries[running] = 0;
        _ = running.ContinueWith(
            ended => _expiries.TryRemove(ended, out _), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }
}
