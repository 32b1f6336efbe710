using System.Globalization;
using OpenSandbox.Vmm.Expiry;
using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Telemetry;

namespace OpenSandbox.Vmm;

/// <content>What is done when the sandbox's time is up.</content>
public sealed partial class Sandbox
{
    /// <summary>How often hibernating a sandbox whose time is up is tried before it is left running until it is used or renewed.</summary>
    internal const int MaxExpiryAttempts = 8;

    private static readonly TimeSpan s_firstRetry = TimeSpan.FromSeconds(5);

    private SandboxExit? _expired; // why it is being ended, once that has been decided
    private int _failedExpiries;
    private long _failedUse; // the last use before the failure
    private long _retryAt;

    /// <summary>Does what is to be done now that its time is up, unless it is used after all. Never fails.</summary>
    internal async Task ExpireAsync(CancellationToken cancellationToken)
    {
        try
        {
            bool kill = Volatile.Read(ref _terms).Policy.Action == SandboxExpiryAction.Kill;
            await Operation.Expire.RunAsync(Id, () => kill ? KillExpiredAsync() : HibernateExpiredAsync(cancellationToken)).ConfigureAwait(false);
        }
        finally
        {
            lock (_expiryGate)
            {
                _expiring = false;
            }

            ScheduleExpiry();
        }
    }

    /// <summary>When to deal with its expiry: when its time is up, later after failures.</summary>
    private long TryAt(long now)
    {
        long due = DueAt(now);
        if (_failedExpiries == 0 || due == ExpiryTerms.Never)
        {
            return due;
        }

        if (Volatile.Read(ref _lastUse) != _failedUse)
        {
            _failedExpiries = 0;
            return due;
        }

        // After the last attempt it is only found out whether it has been used again.
        return _failedExpiries < MaxExpiryAttempts ? Math.Max(due, _retryAt)
            : Volatile.Read(ref _terms) is { IdleTicks: not ExpiryTerms.Never } terms ? Clocks.Add(now, terms.IdleTicks)
            : ExpiryTerms.Never;
    }

    /// <returns>Whether it was done.</returns>
    private async Task<bool> KillExpiredAsync()
    {
        SandboxExit exit;
        lock (_operationGate)
        {
            // From here on nobody else can begin anything: decided is decided.
            if (Volatile.Read(ref _closing) != 0 || _deleting || _operation is not null || !TryCloseIfDue(out string why))
            {
                return false;
            }

            exit = new SandboxExit(SandboxExitReason.Expired, why);
            Volatile.Write(ref _expired, exit);
            _deleting = true;
        }

        VmmLog.SandboxExpired(_host.Logger, Id, SandboxExpiryAction.Kill, exit.Description);
        SandboxMetrics.Expired.Add(1, SandboxMetrics.Tag("action", "kill"));
        Tell(SandboxEventKind.Expired, new SandboxEventDetails { Exit = exit, Action = SandboxExpiryAction.Kill });
        try
        {
            Fault.Point(FaultPoints.ExpiryKill);
            await DeleteNowAsync().ConfigureAwait(false);
            return true;
        }
        catch (Exception failure)
        {
            // Its VM is gone; what could not be removed says that it is being deleted, and the next host finishes it.
            FailExpiry(failure, last: true);
            return false;
        }
        finally
        {
            Open();
        }
    }

    /// <returns>Whether it was done.</returns>
    private async Task<bool> HibernateExpiredAsync(CancellationToken cancellationToken)
    {
        string why = "";
        try
        {
            bool hibernated = await OperateAsync(Hibernating, HibernateIfDueAsync, cancellationToken).ConfigureAwait(false);
            if (hibernated)
            {
                _failedExpiries = 0;
                VmmLog.SandboxExpired(_host.Logger, Id, SandboxExpiryAction.Hibernate, why);
            }

            return hibernated;
        }
        catch (SandboxConflictException busy)
        {
            VmmLog.BackgroundEnded(_host.Logger, busy.Message); // its end looks at the expiry again
        }
        catch (OperationCanceledException ended) when (cancellationToken.IsCancellationRequested)
        {
            VmmLog.BackgroundEnded(_host.Logger, ended.Message);
        }
        catch (SandboxException failure) when (State is not (SandboxState.Running or SandboxState.Paused))
        {
            VmmLog.BackgroundEnded(_host.Logger, failure.Message); // it has ended, or has been put away by somebody else
        }
        catch (Exception failure)
        {
            // Whatever it was: the sandbox goes on, and it is tried again.
            FailExpiry(failure, last: ++_failedExpiries >= MaxExpiryAttempts);
        }

        return false;

        async Task<bool> HibernateIfDueAsync(CancellationToken token)
        {
            if (!TryCloseIfDue(out why))
            {
                return false;
            }

            try
            {
                Fault.Point(FaultPoints.ExpiryHibernate);
                if (State == SandboxState.Paused)
                {
                    await ResumeNowAsync().ConfigureAwait(false);
                }

                SandboxMetrics.Expired.Add(1, SandboxMetrics.Tag("action", "hibernate"));
                TellAtEnd(SandboxEventKind.Expired, new SandboxEventDetails { Reasons = [why], Action = SandboxExpiryAction.Hibernate });
                await HibernateMeasuredAsync(expired: true, () => HibernateNowAsync(token)).ConfigureAwait(false);
                return true;
            }
            finally
            {
                Open();
            }
        }
    }

    /// <summary>
    /// Lets nobody begin to use the sandbox if its time is up. A call that is under way, or was a moment ago, wins over the idle timeout, and
    /// loses against a deadline.
    /// </summary>
    private bool TryCloseIfDue(out string why)
    {
        why = "";
        ExpiryTerms terms = Volatile.Read(ref _terms);
        long now = Now;
        if (!TryClose(whateverIsUnderWay: terms.Deadline <= now))
        {
            return false;
        }

        if (DueAt(now) > now)
        {
            Open();
            return false;
        }

        why = terms.Deadline <= now
            ? terms.Policy.Lifetime is TimeSpan lifetime ? $"its lifetime of {Say(lifetime)} is over" : $"its deadline ({terms.DeadlineUtc:O}) has passed"
            : $"it was not used for {Say(terms.Policy.IdleTimeout!.Value)}";
        return true;

        static string Say(TimeSpan time) => time.TotalSeconds < 120
            ? string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.###} s")
            : time.ToString("g", CultureInfo.InvariantCulture);
    }

    private void FailExpiry(Exception failure, bool last)
    {
        _failedUse = Volatile.Read(ref _lastUse);
        TimeSpan wait = s_firstRetry * (1 << (Math.Clamp(_failedExpiries, 1, MaxExpiryAttempts) - 1));
        _retryAt = Options.TimeProvider.After(Now, wait);
        VmmLog.ExpiryFailed(_host.Logger, Id, last ? "not tried again" : $"tried again in {wait.TotalSeconds:0} s", failure);
        Tell(SandboxEventKind.ExpiryFailed, new SandboxEventDetails { Reasons = [failure.Message] });
    }
}
