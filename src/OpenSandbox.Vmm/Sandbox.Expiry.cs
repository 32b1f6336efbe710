using OpenSandbox.Vmm.Expiry;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>When the sandbox's time is up.</content>
public sealed partial class Sandbox
{
    private readonly Lock _expiryGate = new();
    private ExpiryTerms _terms;
    private readonly SemaphoreSlim _expirySetting = new(1, 1);
    private long _writtenUse; // the last use that is on disk
    private long _writtenAt; // when that was looked at
    private bool _expiring; // somebody is dealing with it: the timer has to wait

    /// <summary>When its time is up and what happens then, as last set. Readable also after its end.</summary>
    public SandboxExpiry Expiry => Volatile.Read(ref _terms).Policy;

    /// <summary>
    /// When its time will be up, UTC, if it is not used until then; <see langword="null"/>: never, as things are (it may be hibernated, or have
    /// ended). Of a sandbox that is being used it is the time that it would have from now on.
    /// </summary>
    public DateTimeOffset? ExpiresAt
    {
        get
        {
            TimeProvider clock = Options.TimeProvider;
            long now = clock.GetTimestamp();
            long due = DueAt(now);
            return due == ExpiryTerms.Never ? null : clock.GetUtcNow().ToUniversalTime() + clock.Between(now, due);
        }
    }

    /// <summary>
    /// Sets anew when the sandbox's time is up. Idle timeout and lifetime count from now. Running, paused, hibernated and crashed sandboxes can
    /// be given other times; of a detached or hibernated one it is durable when this returns.
    /// </summary>
    /// <param name="expiry">What is in force from now on.</param>
    /// <param name="cancellationToken">Before it begins.</param>
    /// <returns>When it is in force.</returns>
    /// <exception cref="ArgumentException">It makes no sense.</exception>
    /// <exception cref="SandboxOperationException">It could not be written down, and what was in force before still is.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone; it may have expired a moment ago.</exception>
    public async Task SetExpiryAsync(SandboxExpiry expiry, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(expiry);
        expiry.Validate(Options.TimeProvider.GetUtcNow());
        cancellationToken.ThrowIfCancellationRequested();
        await ApplyAsync(expiry, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Gives the sandbox its time again, as if what is in force had been set now; a <see cref="SandboxExpiry.Deadline"/> stays.</summary>
    /// <param name="cancellationToken">Before it begins.</param>
    /// <returns>When it is in force, and durable as for <see cref="SetExpiryAsync"/>.</returns>
    /// <exception cref="SandboxOperationException">It could not be written down.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone; it may have expired a moment ago.</exception>
    public Task RenewExpiryAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return ApplyAsync(null, cancellationToken);
    }

    /// <summary>What is written down of its expiry now; nothing where it has none.</summary>
    /// <param name="asleep">Whether it is being put away: a deadline that is to do that, and has passed, is dealt with then.</param>
    internal ExpiryRecord? DescribeExpiry(bool asleep = false)
    {
        ExpiryTerms terms = Volatile.Read(ref _terms);
        return Describe(asleep && IsDealtWith(terms) ? terms.WithoutDeadline() : terms);
    }

    /// <summary>Makes sure that the host looks at the sandbox when its time is up, or when there is something to be written down.</summary>
    internal void ScheduleExpiry()
    {
        lock (_expiryGate)
        {
            // Operations come here when they end, and so does whoever deals with its expiry.
            long now = Now;
            _host.Timers.Set(this, _expiring || IsOperating ? ExpiryTerms.Never : Math.Min(TryAt(now), WriteAt()));
        }
    }

    /// <summary>The host's timer has come: is its time up, or has it been used meanwhile? Does not block.</summary>
    internal void LookAtExpiry()
    {
        bool due;
        bool write = false;
        lock (_expiryGate)
        {
            long now = Now;
            due = !_expiring && !IsOperating && TryAt(now) <= now;
            _expiring |= due;
            if (!due && WriteAt() <= now)
            {
                write = IsInUse || Volatile.Read(ref _lastUse) != _writtenUse;
                NoteWritten(now);
            }
        }

        if (due)
        {
            _host.RunExpiry(this);
            return;
        }

        if (write)
        {
            _host.RunInBackground(_ => RecordExpiry());
        }

        ScheduleExpiry();
    }

    /// <summary>Writes down when it was last used, if it outlives this process. Blocks on the disk.</summary>
    private void RecordExpiry()
    {
        if (Volatile.Read(ref _closing) != 0 || _deleting)
        {
            return;
        }

        try
        {
            Fault.Point(FaultPoints.ExpiryUse);
            Record(manifest => manifest with { Expiry = DescribeExpiry() });
        }
        catch (IOException failure)
        {
            VmmLog.RecordFailed(_host.Logger, Id, failure);
        }
    }

    private long Now => Options.TimeProvider.GetTimestamp();

    private bool IsInUse => Volatile.Read(ref _uses) > 0;

    private bool IsOperating
    {
        get
        {
            lock (_operationGate)
            {
                return _operation is not null;
            }
        }
    }

    /// <summary>Terms for a sandbox that has just been made, or found on disk.</summary>
    private ExpiryTerms BeginExpiry()
    {
        _lastUse = Now;
        ExpiryTerms terms;
        if (_manifest?.Expiry is ExpiryRecord record)
        {
            (terms, _lastUse) = ExpiryTerms.Restore(record, Options.TimeProvider, _host.NextOverdue);
            if (_manifest.State == RecordedState.Hibernated && terms.Policy.Action == SandboxExpiryAction.Hibernate
                && record.DeadlineUtc <= Options.TimeProvider.GetUtcNow())
            {
                terms = terms.WithoutDeadline();
            }
        }
        else
        {
            terms = ExpiryTerms.Begin(Spec.Expiry, Options.TimeProvider);
        }

        NoteWritten(Now);
        return terms;
    }

    /// <summary>The sandbox has gone to another state.</summary>
    private void ExpiryEntered(SandboxState from, SandboxState to)
    {
        if (to == SandboxState.Running && from is SandboxState.Waking or SandboxState.Paused)
        {
            Touch(); // it has not been idle as long as it could not be used
        }

        if (to is SandboxState.Hibernated or SandboxState.Running && from is SandboxState.Hibernating or SandboxState.Waking)
        {
            ExpiryTerms terms = Volatile.Read(ref _terms);
            if (IsDealtWith(terms) && (to == SandboxState.Hibernated || from == SandboxState.Waking))
            {
                Interlocked.CompareExchange(ref _terms, terms.WithoutDeadline(), terms);
            }
        }

        ScheduleExpiry();
    }

    private async Task ApplyAsync(SandboxExpiry? expiry, CancellationToken cancellationToken)
    {
        await _expirySetting.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            ExpiryTerms before;
            ExpiryTerms next;
            lock (_operationGate)
            {
                if (Volatile.Read(ref _exit) is not null || Volatile.Read(ref _closing) != 0 || _deleting)
                {
                    throw NotRunning();
                }

                before = Volatile.Read(ref _terms);
                next = ExpiryTerms.Begin(expiry ?? before.Policy, Options.TimeProvider);
                if (expiry is null && before.Policy.Deadline is not null)
                {
                    next = next.WithDeadlineOf(before);
                }

                Volatile.Write(ref _terms, next);
                Touch();
            }

            try
            {
                Fault.Point(FaultPoints.ExpirySetting);
                await Task.Run(() => Record(manifest => manifest with { Expiry = Describe(next) }), CancellationToken.None).ConfigureAwait(false);
            }
            catch (IOException failure)
            {
                if (failure is not StateUncertainException)
                {
                    Interlocked.CompareExchange(ref _terms, before, next);
                }

                throw await ExplainAsync(failure, "setting its expiry").ConfigureAwait(false);
            }

            Fault.Point(FaultPoints.ExpirySet);
        }
        finally
        {
            _expirySetting.Release();
            ScheduleExpiry();
        }

        Tell(SandboxEventKind.ExpiryChanged);
    }

    private ExpiryRecord? Describe(ExpiryTerms terms)
    {
        TimeProvider clock = Options.TimeProvider;
        long now = Now;
        return terms.ToRecord(clock.GetUtcNow() - (IsInUse ? TimeSpan.Zero : clock.Between(Volatile.Read(ref _lastUse), now)));
    }

    /// <summary>Whether it had a deadline which was to hibernate it, and has passed.</summary>
    private bool IsDealtWith(ExpiryTerms terms) => terms.Policy.Action == SandboxExpiryAction.Hibernate && terms.Deadline <= Now;

    private long DueAt(long now) => _deleting || Volatile.Read(ref _closing) != 0 || State is SandboxState.Stopping or SandboxState.Stopped
        ? ExpiryTerms.Never
        : Volatile.Read(ref _terms).DueAt(
            now, Volatile.Read(ref _lastUse), IsInUse, awake: State is SandboxState.Running or SandboxState.Paused);

    /// <summary>When to write down again when it was last used.</summary>
    private long WriteAt() =>
        IsDetached && State == SandboxState.Running && Volatile.Read(ref _terms).Policy.IdleTimeout is TimeSpan idle
            ? Options.TimeProvider.After(_writtenAt, ExpiryTerms.BetweenRecords(idle))
            : ExpiryTerms.Never;

    private void NoteWritten(long now)
    {
        _writtenUse = Volatile.Read(ref _lastUse);
        _writtenAt = now;
    }
}
