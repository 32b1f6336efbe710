namespace OpenSandbox.Vmm;

/// <summary>A rate with a burst. Takers are served in the order in which they come, each with the delay that keeps the rate.</summary>
/// <remarks>
/// Thread-safe. Kept as one number, the time at which everything taken so far is paid for (the generic cell rate algorithm), so that nothing
/// runs while nobody takes.
/// </remarks>
internal sealed class RateBucket
{
    private readonly TimeProvider _time;
    private readonly double _ticksPerUnit;
    private readonly double _burstTicks;
    private readonly Lock _lock = new();
    private double _paidUntil;

    /// <summary>Makes a full bucket.</summary>
    /// <param name="perSecond">The rate.</param>
    /// <param name="burst">How much may be taken at once.</param>
    /// <param name="time">The clock.</param>
    internal RateBucket(double perSecond, double burst, TimeProvider time)
    {
        _time = time;
        _ticksPerUnit = time.TimestampFrequency / perSecond;
        _burstTicks = burst * _ticksPerUnit;
        _paidUntil = double.NegativeInfinity;
    }

    /// <summary>Takes one unit if it is there.</summary>
    internal bool TryTake()
    {
        lock (_lock)
        {
            double now = _time.GetTimestamp();
            double paid = Math.Max(_paidUntil, now) + _ticksPerUnit;
            // Half a tick of slack: the sum of many fractions must not cost the last unit of a burst.
            if (paid - now > _burstTicks + 0.5)
            {
                return false;
            }

            _paidUntil = paid;
            return true;
        }
    }

    /// <summary>Gives units back that were taken and not used.</summary>
    internal void GiveBack(int units)
    {
        lock (_lock)
        {
            _paidUntil -= units * _ticksPerUnit;
        }
    }

    /// <summary>Takes units, in advance if need be.</summary>
    /// <param name="units">How many.</param>
    /// <returns>How long to wait before they may be used; zero: now.</returns>
    internal TimeSpan Take(int units)
    {
        double ahead;
        lock (_lock)
        {
            double now = _time.GetTimestamp();
            _paidUntil = Math.Max(_paidUntil, now) + (units * _ticksPerUnit);
            ahead = _paidUntil - now - _burstTicks;
        }

        // Rounded up to the timers' grain, so that a wait is never over early.
        return ahead <= 0.5
            ? TimeSpan.Zero
            : TimeSpan.FromMilliseconds(Math.Min(Math.Ceiling(ahead * 1000.0 / _time.TimestampFrequency), int.MaxValue));
    }
}
