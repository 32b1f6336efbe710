using OpenSandbox.Host.Records;

namespace OpenSandbox.Host.Scaling;

/// <summary>When a sandbox grows and shrinks: fast up, slowly down, by the factor 2 each time.</summary>
internal static class AutoscaleRule
{
    internal const int MemoryStep = 128;

    private const double Full = 0.75;
    private const double Empty = 0.25;
    private static readonly TimeSpan s_minute = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan s_fiveMinutes = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan s_upCooldown = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan s_downCooldown = TimeSpan.FromMinutes(5);

    /// <summary>Says which size it should have.</summary>
    /// <param name="settings">Within which bounds.</param>
    /// <param name="memoryMib">Its size.</param>
    /// <param name="limitBytes">What its processes may hold at this size.</param>
    /// <param name="trend">What they have held.</param>
    /// <param name="time">The clock of <paramref name="trend"/>.</param>
    /// <returns>The size, MiB; nothing if it stays.</returns>
    internal static int? Decide(AutoscaleSettings settings, int memoryMib, long limitBytes, MemoryTrend trend, TimeProvider time)
    {
        TimeSpan since = trend.ScaledAt is long at ? time.GetElapsedTime(at) : TimeSpan.MaxValue;
        if (since < s_upCooldown || limitBytes <= 0)
        {
            return null;
        }

        int wanted = memoryMib;
        if (memoryMib < settings.MinMemoryMib)
        {
            wanted = settings.MinMemoryMib;
        }
        else if (trend.Average(s_minute) / limitBytes > Full)
        {
            wanted = Math.Max(memoryMib, Math.Min(memoryMib * 2, settings.MaxMemoryMib));
        }
        else if (since >= s_downCooldown
            && trend.Average(s_minute) / limitBytes < Empty
            && trend.Average(s_fiveMinutes) / limitBytes < Empty
            && trend.Average(MemoryTrend.Longest) / limitBytes < Empty)
        {
            int half = (memoryMib / 2 + MemoryStep - 1) / MemoryStep * MemoryStep;
            wanted = Math.Min(memoryMib, Math.Max(half, settings.MinMemoryMib));
        }

        return wanted == memoryMib ? null : wanted;
    }
}
