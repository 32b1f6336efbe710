namespace OpenSandbox.Host.Scaling;

/// <summary>How much memory a sandbox's processes held in the last quarter of an hour. Not thread-safe.</summary>
internal sealed class MemoryTrend(TimeProvider time)
{
    /// <summary>How long a sample counts.</summary>
    internal static readonly TimeSpan Longest = TimeSpan.FromMinutes(15);

    private readonly Queue<(long At, long Bytes)> _samples = new();
    private long? _first;

    /// <summary>When the size was changed last; nothing: never.</summary>
    internal long? ScaledAt { get; set; }

    /// <summary>Adds what they hold now.</summary>
    internal void Add(long bytes)
    {
        long now = time.GetTimestamp();
        _first ??= now;
        while (_samples.TryPeek(out (long At, long Bytes) oldest) && time.GetElapsedTime(oldest.At, now) > Longest)
        {
            _samples.Dequeue();
        }

        _samples.Enqueue((now, bytes));
    }

    /// <summary>The mean over the time up to now; nothing as long as it has not been watched for that long.</summary>
    internal double? Average(TimeSpan window)
    {
        long now = time.GetTimestamp();
        if (_first is not long first || time.GetElapsedTime(first, now) < window)
        {
            return null;
        }

        long sum = 0;
        int count = 0;
        foreach ((long at, long bytes) in _samples)
        {
            if (time.GetElapsedTime(at, now) <= window)
            {
                sum += bytes;
                count++;
            }
        }

        return count == 0 ? null : (double)sum / count;
    }
}
