using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Expiry;

/// <summary>
/// A sandbox's expiry in terms of the monotonic clock, on which it is decided: what the wall clock does while this process runs moves nothing.
/// Immutable.
/// </summary>
internal sealed class ExpiryTerms
{
    /// <summary>Never.</summary>
    internal const long Never = long.MaxValue;

    private static readonly TimeSpan s_fewestBetweenRecords = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan s_mostBetweenRecords = TimeSpan.FromMinutes(15);

    /// <summary>What a deadline that passed while no host was there is put off by: its owner may be about to renew it, or the clock be wrong.</summary>
    private static readonly TimeSpan s_overdueGrace = TimeSpan.FromSeconds(30);

    private ExpiryTerms(SandboxExpiry policy, long idleTicks, long deadline, DateTimeOffset? deadlineUtc)
    {
        Policy = policy;
        IdleTicks = idleTicks;
        Deadline = deadline;
        DeadlineUtc = deadlineUtc;
    }

    /// <summary>As its owner set it.</summary>
    internal SandboxExpiry Policy { get; }

    /// <summary>The idle timeout in units of the clock, or <see cref="Never"/>.</summary>
    internal long IdleTicks { get; }

    /// <summary>When its time is up, used or not: a time stamp, or <see cref="Never"/>.</summary>
    internal long Deadline { get; }

    /// <summary>The same as it is written down; nothing, also once it has passed and has been dealt with.</summary>
    internal DateTimeOffset? DeadlineUtc { get; }

    /// <summary>
    /// How often its last use is written down, if it moves; a host that comes back gives it as much, so that it is never taken for idle before
    /// it was.
    /// </summary>
    internal static TimeSpan BetweenRecords(TimeSpan idle)
    {
        TimeSpan quarter = idle / 4;
        return quarter < s_fewestBetweenRecords ? s_fewestBetweenRecords : quarter > s_mostBetweenRecords ? s_mostBetweenRecords : quarter;
    }

    /// <summary>Terms that begin now.</summary>
    internal static ExpiryTerms Begin(SandboxExpiry policy, TimeProvider clock)
    {
        long now = clock.GetTimestamp();
        DateTimeOffset utc = clock.GetUtcNow().ToUniversalTime();
        DateTimeOffset? deadline = policy.Lifetime is TimeSpan lifetime ? utc + lifetime : policy.Deadline?.ToUniversalTime();
        return new ExpiryTerms(
            policy,
            policy.IdleTimeout is TimeSpan idle ? clock.TicksOf(idle) : Never,
            deadline is DateTimeOffset at ? clock.After(now, at - utc) : Never,
            deadline);
    }

    /// <summary>
    /// Terms that an earlier host has written down, and when the sandbox was last used as far as that counts. The wall clock may have been
    /// set meanwhile: backward, it gives no more time than there was when it was written; forward, or if the time has really passed, there is
    /// a while left in which its owner can renew it.
    /// </summary>
    /// <param name="record">What was written.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="nextOverdue">Called for one whose time is up: what it is put off by, so that not all of them are dealt with at once.</param>
    internal static (ExpiryTerms Terms, long LastUse) Restore(ExpiryRecord record, TimeProvider clock, Func<TimeSpan> nextOverdue)
    {
        long now = clock.GetTimestamp();
        DateTimeOffset utc = clock.GetUtcNow().ToUniversalTime();
        if (utc < record.LastActivityUtc)
        {
            utc = record.LastActivityUtc;
        }

        SandboxExpiry policy = ExpiryRecord.ToExpiry(record);
        TimeSpan putOff = TimeSpan.Zero;
        long lastUse = now;
        if (policy.IdleTimeout is TimeSpan idle)
        {
            TimeSpan left = idle - (utc - record.LastActivityUtc);
            TimeSpan between = BetweenRecords(idle);
            TimeSpan least = idle < between ? idle : between;
            if (left < least)
            {
                putOff = left <= TimeSpan.Zero ? nextOverdue() : TimeSpan.Zero;
                left = least + putOff;
            }

            lastUse = now - clock.TicksOf(idle) + clock.TicksOf(left);
        }

        long deadline = Never;
        if (record.DeadlineUtc is DateTimeOffset at)
        {
            TimeSpan left = at - utc;
            deadline = clock.After(now, left > TimeSpan.Zero ? left : s_overdueGrace + (putOff > TimeSpan.Zero ? putOff : nextOverdue()));
        }

        return (new ExpiryTerms(policy, policy.IdleTimeout is TimeSpan timeout ? clock.TicksOf(timeout) : Never, deadline, record.DeadlineUtc), lastUse);
    }

    /// <summary>Terms without the deadline, which has been dealt with.</summary>
    internal ExpiryTerms WithoutDeadline() => new(Policy, IdleTicks, Never, null);

    /// <summary>These terms with the deadline of others.</summary>
    internal ExpiryTerms WithDeadlineOf(ExpiryTerms other) => new(Policy, IdleTicks, other.Deadline, other.DeadlineUtc);

    /// <summary>When the time of a sandbox is up.</summary>
    /// <param name="now">Now.</param>
    /// <param name="lastUse">When it was last used.</param>
    /// <param name="inUse">Whether it is being used.</param>
    /// <param name="awake">Whether it has a machine: one that has none is not idle, and there is nothing to hibernate.</param>
    internal long DueAt(long now, long lastUse, bool inUse, bool awake)
    {
        long due = awake || Policy.Action == SandboxExpiryAction.Kill ? Deadline : Never;
        return awake && IdleTicks != Never ? Math.Min(due, Clocks.Add(inUse ? now : lastUse, IdleTicks)) : due;
    }

    /// <summary>For the manifest; nothing where there is nothing to keep.</summary>
    /// <param name="lastActivity">When the sandbox was last used.</param>
    internal ExpiryRecord? ToRecord(DateTimeOffset lastActivity) => Policy == SandboxExpiry.Never
        ? null
        : new ExpiryRecord
        {
            IdleTimeoutMs = Milliseconds(Policy.IdleTimeout),
            LifetimeMs = Milliseconds(Policy.Lifetime),
            DeadlineUtc = DeadlineUtc,
            Action = Policy.RecordedAction,
            AutoWake = Policy.AutoWake,
            LastActivityUtc = lastActivity.ToUniversalTime(),
        };

    private static long? Milliseconds(TimeSpan? time) => time is TimeSpan given ? (long)Math.Ceiling(given.TotalMilliseconds) : null;
}
