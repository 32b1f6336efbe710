namespace OpenSandbox.Integration.Tests;

/// <summary>The system's clock, which a test can set forward: timers whose time comes by that fire at once, on the caller; periodic ones follow the system's.</summary>
internal sealed class ShiftableClock : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly HashSet<ShiftedTimer> _timers = [];
    private long _shift; // in time stamps

    /// <summary>By how much the wall clock is off beside that.</summary>
    internal TimeSpan WallClockError { get; init; }

    public override long GetTimestamp() => System.GetTimestamp() + Interlocked.Read(ref _shift);

    public override DateTimeOffset GetUtcNow() =>
        System.GetUtcNow() + WallClockError + TimeSpan.FromSeconds((double)Interlocked.Read(ref _shift) / System.TimestampFrequency);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        if (period != Timeout.InfiniteTimeSpan)
        {
            return System.CreateTimer(callback, state, dueTime, period); // signs of life are asked for in real time
        }

        var timer = new ShiftedTimer(this, callback, state);
        lock (_gate)
        {
            _timers.Add(timer);
        }

        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Sets it forward.</summary>
    internal void Shift(TimeSpan by)
    {
        ShiftedTimer[] timers;
        lock (_gate)
        {
            Interlocked.Add(ref _shift, (long)(by.TotalSeconds * System.TimestampFrequency));
            timers = [.. _timers];
        }

        foreach (ShiftedTimer timer in timers)
        {
            timer.Look();
        }
    }

    private sealed class ShiftedTimer : ITimer
    {
        private readonly ShiftableClock _clock;
        private readonly TimerCallback _callback;
        private readonly object? _state;
        private readonly ITimer _real;
        private long _due = long.MaxValue;

        internal ShiftedTimer(ShiftableClock clock, TimerCallback callback, object? state)
        {
            _clock = clock;
            _callback = callback;
            _state = state;
            _real = System.CreateTimer(static timer => ((ShiftedTimer)timer!).Fire(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            bool never = dueTime == Timeout.InfiniteTimeSpan;
            Interlocked.Exchange(ref _due, never ? long.MaxValue : _clock.GetTimestamp() + (long)(dueTime.TotalSeconds * System.TimestampFrequency));
            return _real.Change(dueTime, Timeout.InfiniteTimeSpan);
        }

        public void Dispose()
        {
            Forget();
            _real.Dispose();
        }

        public ValueTask DisposeAsync()
        {
            Forget();
            return _real.DisposeAsync();
        }

        /// <summary>Fires if the clock has come to its time.</summary>
        internal void Look()
        {
            if (Interlocked.Read(ref _due) <= _clock.GetTimestamp())
            {
                Fire();
            }
        }

        private void Fire()
        {
            if (Interlocked.Exchange(ref _due, long.MaxValue) != long.MaxValue)
            {
                _callback(_state);
            }
        }

        private void Forget()
        {
            Interlocked.Exchange(ref _due, long.MaxValue);
            lock (_clock._gate)
            {
                _clock._timers.Remove(this);
            }
        }
    }
}
