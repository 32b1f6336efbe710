namespace OpenSandbox.Vmm.Pools;

/// <summary>
/// How many machines are asked for at once: the largest number of creates within one window that there has been lately. It rises at once and
/// falls by half every minute, so that the burst that comes back within minutes finds its machines, and an idle host keeps none.
/// </summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class PoolDemand
{
    /// <summary>In this time what is remembered of a burst becomes half.</summary>
    internal static readonly TimeSpan HalfLife = TimeSpan.FromMinutes(1);

    /// <summary>Creates this close together count as at once, at least; a machine that takes longer to start makes it longer.</summary>
    internal static readonly TimeSpan MinWindow = TimeSpan.FromSeconds(1);

    private readonly TimeProvider _time;
    private readonly int _max;
    private readonly Queue<long> _creates = new();
    private double _level;
    private long _levelAt;

    /// <param name="time">The clock.</param>
    /// <param name="max">More than this is not counted: nobody could keep more.</param>
    internal PoolDemand(TimeProvider time, int max)
    {
        _time = time;
        _max = max;
        _levelAt = time.GetTimestamp();
    }

    /// <summary>Notes a create.</summary>
    /// <param name="refillTime">How long it takes to start a machine.</param>
    internal void Note(TimeSpan refillTime)
    {
        long now = _time.GetTimestamp();
        TimeSpan window = refillTime > MinWindow ? refillTime : MinWindow;
        while (_creates.TryPeek(out long oldest) && (_creates.Count >= _max || _time.GetElapsedTime(oldest, now) >= window))
        {
            _creates.Dequeue();
        }

        _creates.Enqueue(now);
        _level = Math.Max(Decayed(now), _creates.Count);
        _levelAt = now;
    }

    /// <summary>How many machines should be there for the next burst.</summary>
    internal int Expect() => (int)Math.Round(Decayed(_time.GetTimestamp()), MidpointRounding.AwayFromZero);

    private double Decayed(long now) => _level * Math.Pow(0.5, _time.GetElapsedTime(_levelAt, now) / HalfLife);
}
