namespace OpenSandbox.Vmm.Expiry;

/// <summary>Arithmetic with the time stamps of a clock. What would be beyond their range is never.</summary>
internal static class Clocks
{
    /// <summary>A duration in units of the clock, rounded up.</summary>
    internal static long TicksOf(this TimeProvider clock, TimeSpan duration)
    {
        Int128 ticks = (((Int128)duration.Ticks * clock.TimestampFrequency) + TimeSpan.TicksPerSecond - 1) / TimeSpan.TicksPerSecond;
        return ticks >= long.MaxValue ? long.MaxValue : (long)ticks;
    }

    /// <summary>The time stamp a duration after another one; at that one if the duration is negative.</summary>
    internal static long After(this TimeProvider clock, long timestamp, TimeSpan duration) =>
        duration <= TimeSpan.Zero ? timestamp : Add(timestamp, clock.TicksOf(duration));

    /// <summary>The duration between two time stamps, rounded up to whole ticks of 100 ns.</summary>
    internal static TimeSpan Between(this TimeProvider clock, long from, long to)
    {
        Int128 ticks = ((((Int128)to - from) * TimeSpan.TicksPerSecond) + clock.TimestampFrequency - 1) / clock.TimestampFrequency;
        return ticks >= TimeSpan.MaxValue.Ticks ? TimeSpan.MaxValue : ticks <= TimeSpan.MinValue.Ticks ? TimeSpan.MinValue : TimeSpan.FromTicks((long)ticks);
    }

    /// <summary>A sum that stays in range.</summary>
    internal static long Add(long timestamp, long ticks) => ticks > 0 && timestamp > long.MaxValue - ticks ? long.MaxValue : timestamp + ticks;
}
