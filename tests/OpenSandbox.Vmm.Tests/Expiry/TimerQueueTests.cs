using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.Vmm.Expiry;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Vmm.Tests.Expiry;

public sealed class TimerQueueTests
{
    private readonly ManualClock _clock = new();
    private readonly List<string> _due = [];

    [Fact]
    public async Task Items_BecomeDueOnceAndInOrder()
    {
        await using var queue = new TimerQueue<string>(_clock, _due.Add);
        queue.Set("late", At(3));
        queue.Set("early", At(1));
        queue.Set("never", At(2));
        queue.Set("never", ExpiryTerms.Never);
        queue.Set("moved", At(1));
        queue.Set("moved", At(10));

        _clock.Advance(TimeSpan.FromSeconds(0.999));
        Assert.Empty(_due);
        _clock.Advance(TimeSpan.FromSeconds(0.001));
        Assert.Equal(["early"], _due);
        _clock.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(["early", "late"], _due);
        Assert.Equal(1, queue.Count);
    }

    [Fact]
    public async Task Item_DueInYears_IsLookedAtOnTheWayAndNotEarlier()
    {
        await using var queue = new TimerQueue<string>(_clock, _due.Add);
        queue.Set("far", _clock.After(0, TimeSpan.FromDays(1_000)));

        for (int day = 1; day < 1_000; day++)
        {
            _clock.Advance(TimeSpan.FromDays(1));
        }

        Assert.Empty(_due);
        _clock.Advance(TimeSpan.FromDays(1));
        Assert.Equal(["far"], _due);
    }

    [Fact]
    public async Task Callback_MaySetTheItemAgain()
    {
        TimerQueue<string>? queue = null;
        await using TimerQueue<string> made = queue = new TimerQueue<string>(_clock, item =>
        {
            _due.Add(item);
            queue!.Set(item, _clock.GetTimestamp() + TimeSpan.TicksPerSecond);
        });
        queue.Set("again", 0);

        for (int i = 0; i < 3; i++)
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(["again", "again", "again"], _due);
    }

    [Fact]
    public async Task Disposed_NothingBecomesDue()
    {
        var queue = new TimerQueue<string>(_clock, _due.Add);
        queue.Set("one", At(1));
        await queue.DisposeAsync();
        queue.Set("two", At(1));

        _clock.Advance(TimeSpan.FromSeconds(2));

        Assert.Empty(_due);
        Assert.Equal(0, queue.Count);
    }

    /// <summary>Whatever is set, moved, removed and waited for: due is what a plain table says, each once and never early.</summary>
    [Fact]
    public void Queue_AnySteps_IsLikeATable() => Cases.ForAll(
        Gen.ListOf(
            from kind in Gen.Choose(0, 9)
            from item in Gen.Choose(0, 19)
            from time in Gen.OneOf(Gen.Choose(0, 50), Gen.Choose(0, 100_000_000))
            select (kind, item, time)),
        static steps =>
        {
            string[] items = [.. Enumerable.Range(0, 20).Select(static i => $"item {i}")];
            var clock = new ManualClock();
            var table = new Dictionary<string, long>();
            var due = new List<string>();
            var queue = new TimerQueue<string>(clock, due.Add);
            foreach ((int kind, int item, int time) in steps)
            {
                switch (kind)
                {
                    case 0:
                        queue.Set(items[item], ExpiryTerms.Never);
                        table.Remove(items[item]);
                        break;
                    case < 7:
                        long at = clock.GetTimestamp() + (time * TimeSpan.TicksPerMillisecond / 2);
                        queue.Set(items[item], at);
                        table[items[item]] = at;
                        break;
                    default:
                        // At least a millisecond: timers count no less.
                        clock.Advance(TimeSpan.FromMilliseconds(time + 1));
                        string[] expected = [.. table.Where(entry => entry.Value <= clock.GetTimestamp()).OrderBy(static entry => entry.Value).Select(static entry => entry.Key)];
                        Assert.Equal(expected.Order(), due.Order());
                        Assert.Equal(expected.Select(name => table[name]), due.Select(name => table[name]));
                        Array.ForEach(expected, name => table.Remove(name));
                        due.Clear();
                        break;
                }

                Assert.Equal(table.Count, queue.Count);
            }

            return true;
        });

    private static long At(double seconds) => TimeSpan.FromSeconds(seconds).Ticks;
}
