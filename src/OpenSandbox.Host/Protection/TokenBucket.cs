namespace OpenSandbox.Host.Protection;

/// <summary>A bucket that fills at a constant rate and holds a bounded number of tokens. Thread-safe.</summary>
internal sealed class TokenBucket
{
    private readonly Lock _gate = new();
    private readonly double _perSecond;
    private readonly double _capacity;
    private readonly TimeProvider _time;
    private double _tokens;
    private long _filledAt;

    /// <param name="perSecond">Tokens that come in each second.</param>
    /// <param name="capacity">Tokens that it holds; it begins full.</param>
    /// <param name="time">The clock.</param>
    internal TokenBucket(double perSecond, double capacity, TimeProvider time)
    {
        _perSecond = perSecond;
        _capacity = capacity;
        _time = time;
        _tokens = capacity;
        _filledAt = time.GetTimestamp();
    }

    /// <summary>Whether nothing has been taken for as long as it takes to fill it.</summary>
    internal bool IsFull
    {
        get
        {
            lock (_gate)
            {
                Fill();
                return _tokens >= _capacity;
            }
        }
    }

    /// <summary>Takes a token.</summary>
    /// <returns>Zero if there was one; else how long it takes until there is one.</returns>
    internal TimeSpan Take()
    {
        lock (_gate)
        {
            Fill();
            if (_tokens >= 1)
            {
                _tokens--;
                return TimeSpan.Zero;
            }

            return TimeSpan.FromSeconds((1 - _tokens) / _perSecond);
        }
    }

    private void Fill()
    {
        long now = _time.GetTimestamp();
        _tokens = Math.Min(_capacity, _tokens + (_perSecond * _time.GetElapsedTime(_filledAt, now).TotalSeconds));
        _filledAt = now;
    }
}
