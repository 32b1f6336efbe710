using FsCheck.Fluent;
using OpenSandbox.Vmm.Expiry;
using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Vmm.Tests.Expiry;

public sealed class ExpiryTermsTests
{
    private static readonly TimeSpan s_hour = TimeSpan.FromHours(1);

    private readonly ManualClock _clock = new();

    public ExpiryTermsTests() => _clock.Advance(TimeSpan.FromDays(20_000)); // a wall clock in 2024

    [Fact]
    public void DueAt_IdleAndLifetime_TheEarlierOneCounts()
    {
        var terms = ExpiryTerms.Begin(new SandboxExpiry { IdleTimeout = s_hour, Lifetime = 3 * s_hour }, _clock);
        long begun = _clock.GetTimestamp();

        Assert.Equal(begun + s_hour.Ticks, terms.DueAt(begun, begun, inUse: false, awake: true));
        Assert.Equal(begun + (2.5 * s_hour).Ticks, terms.DueAt(begun + (2 * s_hour).Ticks, begun + (1.5 * s_hour).Ticks, inUse: false, awake: true));
        Assert.Equal(begun + (3 * s_hour).Ticks, terms.DueAt(begun + (2.5 * s_hour).Ticks, begun, inUse: true, awake: true));
        Assert.Equal(begun + (3 * s_hour).Ticks, terms.DueAt(begun, begun, inUse: false, awake: false));
    }

    [Fact]
    public void DueAt_HibernatedAndToBeHibernated_IsNever()
    {
        var terms = ExpiryTerms.Begin(
            new SandboxExpiry { IdleTimeout = s_hour, Lifetime = s_hour, Action = SandboxExpiryAction.Hibernate }, _clock);

        Assert.Equal(ExpiryTerms.Never, terms.DueAt(0, 0, inUse: false, awake: false));
        Assert.Equal(ExpiryTerms.Never, ExpiryTerms.Begin(SandboxExpiry.Never, _clock).DueAt(0, 0, inUse: false, awake: true));
    }

    [Fact]
    public void DueAt_LongestTimes_DoNotOverflow()
    {
        var terms = ExpiryTerms.Begin(new SandboxExpiry { IdleTimeout = SandboxExpiry.MaxTime, Lifetime = SandboxExpiry.MaxTime }, _clock);

        long now = _clock.GetTimestamp();
        Assert.Equal(now + SandboxExpiry.MaxTime.Ticks, terms.DueAt(now, now, inUse: false, awake: true));
        Assert.Equal(long.MaxValue, Clocks.Add(long.MaxValue - 1, 2));
        Assert.True(TimeProvider.System.TicksOf(SandboxExpiry.MaxTime) > 0);
        Assert.Equal(SandboxExpiry.MaxTime, TimeProvider.System.Between(0, TimeProvider.System.TicksOf(SandboxExpiry.MaxTime)));
    }

    [Fact]
    public void Restore_TimeHasPassed_GoesOnFromThere()
    {
        ExpiryRecord record = Written(new SandboxExpiry { IdleTimeout = s_hour, Lifetime = 2 * s_hour, AutoWake = true });
        _clock.Advance(s_hour / 3);

        (ExpiryTerms terms, long lastUse) = ExpiryTerms.Restore(record, _clock, NoneOverdue);

        long now = _clock.GetTimestamp();
        Assert.Equal(new SandboxExpiry { IdleTimeout = s_hour, Lifetime = 2 * s_hour, AutoWake = true }, terms.Policy);
        Assert.Equal(now - (s_hour / 3).Ticks, lastUse);
        Assert.Equal(now + (2 * s_hour).Ticks - (s_hour / 3).Ticks, terms.Deadline);
    }

    [Fact]
    public void Restore_WallClockWasSetBack_GivesNoMoreThanThereWas()
    {
        ExpiryRecord record = Written(new SandboxExpiry { IdleTimeout = s_hour, Lifetime = 2 * s_hour });
        var earlier = new ManualClock();
        earlier.Advance(TimeSpan.FromDays(10_000));

        (ExpiryTerms terms, long lastUse) = ExpiryTerms.Restore(record, earlier, NoneOverdue);

        Assert.Equal(earlier.GetTimestamp(), lastUse);
        Assert.Equal(earlier.GetTimestamp() + (2 * s_hour).Ticks, terms.Deadline);
    }

    [Fact]
    public void Restore_WallClockWasSetForward_ThereIsAWhileLeftAndNotAllAtOnce()
    {
        ExpiryRecord idle = Written(new SandboxExpiry { IdleTimeout = s_hour });
        ExpiryRecord lifetime = Written(new SandboxExpiry { Lifetime = s_hour, Action = SandboxExpiryAction.Hibernate });
        _clock.Advance(TimeSpan.FromDays(1_000));
        int overdue = 0;
        TimeSpan Next() => TimeSpan.FromSeconds(++overdue);

        long now = _clock.GetTimestamp();
        var due = new List<long>();
        for (int i = 0; i < 5; i++)
        {
            (ExpiryTerms terms, long lastUse) = ExpiryTerms.Restore(i % 2 == 0 ? idle : lifetime, _clock, Next);
            due.Add(terms.DueAt(now, lastUse, inUse: false, awake: true));
        }

        Assert.Equal(5, due.Distinct().Count());
        Assert.All(due, at => Assert.InRange(TimeSpan.FromTicks(at - now), TimeSpan.FromSeconds(30), TimeSpan.FromMinutes(16)));
        Assert.Equal(5, overdue);
    }

    /// <summary>However often a host comes back, and whatever the wall clock says: never idle before it was, and never longer than set.</summary>
    [Fact]
    public void Restore_AnyRecord_IsBounded() => Cases.ForAll(
        from idle in Gen.OneOf(Gen.Choose(100, 100_000), Gen.Choose(1_000_000, 1_000_000_000))
        from moved in Gen.Choose(-1_000_000_000, 1_000_000_000)
        from age in Gen.Choose(0, 2_000_000_000)
        select (idle, moved, age),
        static given =>
        {
            var clock = new ManualClock();
            clock.Advance(TimeSpan.FromDays(20_000));
            DateTimeOffset lastActivity = clock.GetUtcNow().AddMilliseconds(given.moved - (double)given.age);
            var policy = new SandboxExpiry { IdleTimeout = TimeSpan.FromMilliseconds(given.idle) };
            ExpiryRecord record = ExpiryTerms.Begin(policy, clock).ToRecord(lastActivity)!;

            (ExpiryTerms terms, long lastUse) = ExpiryTerms.Restore(record, clock, static () => TimeSpan.FromSeconds(60));

            var left = TimeSpan.FromTicks(terms.DueAt(clock.GetTimestamp(), lastUse, inUse: false, awake: true) - clock.GetTimestamp());
            TimeSpan honest = policy.IdleTimeout.Value - (clock.GetUtcNow() - lastActivity);
            TimeSpan between = ExpiryTerms.BetweenRecords(policy.IdleTimeout.Value);
            TimeSpan least = between < policy.IdleTimeout.Value ? between : policy.IdleTimeout.Value;
            return left >= least && left <= policy.IdleTimeout.Value + TimeSpan.FromSeconds(60) && (honest > policy.IdleTimeout.Value || left >= honest);
        });

    private ExpiryRecord Written(SandboxExpiry policy)
    {
        ExpiryRecord record = ExpiryTerms.Begin(policy, _clock).ToRecord(_clock.GetUtcNow())!;
        record.Validate("expiry");
        Assert.Equal(policy, ExpiryRecord.ToExpiry(record));
        return record;
    }

    private static TimeSpan NoneOverdue() => throw new InvalidOperationException("nothing is overdue");
}
