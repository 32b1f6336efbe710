namespace OpenSandbox.Vmm.Tests.Network;

/// <summary>A clock that stands still until a test moves it, and tells when somebody waits for it.</summary>
internal sealed class ManualClock : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private readonly List<(int Count, TaskCompletionSource Reached)> _waiters = [];
    private long _now;

    /// <summary>Runs on whoever starts a timer, at that moment.</summary>
    internal Action? TimerStarting { get; set; }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Interlocked.Read(ref _now);

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch.AddTicks(GetTimestamp());

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        TimerStarting?.Invoke();
        var timer = new ManualTimer(this, callback, state);
        lock (_lock)
        {
            _timers.Add(timer);
        }

        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Completes when that many timers are running.</summary>
    internal Task TimersAsync(int count)
    {
        lock (_lock)
        {
            if (_timers.Count(static timer => timer.IsRunning) >= count)
            {
                return Task.CompletedTask;
            }

            var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiters.Add((count, reached));
            return reached.Task.WaitAsync(Limits.Wait);
        }
    }

    /// <summary>Moves the clock and runs what is due.</summary>
    internal void Advance(TimeSpan by)
    {
        ManualTimer[] timers;
        lock (_lock)
        {
            Interlocked.Add(ref _now, by.Ticks);
            timers = [.. _timers];
        }

        foreach (ManualTimer timer in timers)
        {
            timer.RunIfDue(GetTimestamp());
        }
    }

    private void Changed()
    {
        lock (_lock)
        {
            int running = _timers.Count(static timer => timer.IsRunning);
            foreach ((int count, TaskCompletionSource reached) in _waiters.Where(waiter => running >= waiter.Count).ToArray())
            {
                _waiters.Remove((count, reached));
                reached.TrySetResult();
            }
        }
    }

    private sealed class ManualTimer(ManualClock clock, TimerCallback callback, object? state) : ITimer
    {
        private long _due = long.MaxValue;

        internal bool IsRunning => Interlocked.Read(ref _due) != long.MaxValue;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Interlocked.Exchange(ref _due, dueTime == Timeout.InfiniteTimeSpan ? long.MaxValue : clock.GetTimestamp() + dueTime.Ticks);
            clock.Changed();
            return true;
        }

        public void Dispose() => Interlocked.Exchange(ref _due, long.MaxValue);

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        internal void RunIfDue(long now)
        {
            long due = Interlocked.Read(ref _due);
            if (due <= now && Interlocked.CompareExchange(ref _due, long.MaxValue, due) == due)
            {
                callback(state);
            }
        }
    }
}
