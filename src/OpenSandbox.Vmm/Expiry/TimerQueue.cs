using System.Diagnostics.CodeAnalysis;

namespace OpenSandbox.Vmm.Expiry;

/// <summary>One timer for any number of items, each of which is due at one point of the clock. Thread-safe.</summary>
/// <remarks>
/// Setting and removing cost O(log n); the timer is set anew only when something earlier than everything else comes. Nothing is looked at
/// before it is due.
/// </remarks>
/// <typeparam name="T">What is due.</typeparam>
internal sealed class TimerQueue<T> : IAsyncDisposable
    where T : class
{
    /// <summary>Timers take up to 49 days: what is due later is looked at on the way.</summary>
    private static readonly TimeSpan s_longest = TimeSpan.FromDays(1);

    private static readonly TimeSpan s_shortest = TimeSpan.FromMilliseconds(1);

    private readonly TimeProvider _clock;
    private readonly Action<T> _due;
    private readonly ITimer _timer;
    private readonly Lock _gate = new();
    private readonly PriorityQueue<(T Item, long Version), long> _queue = new();
    private readonly Dictionary<T, (long Due, long Version)> _items = new(ReferenceEqualityComparer.Instance);
    private long _version;
    private long _armed = ExpiryTerms.Never;
    private bool _disposed;

    /// <param name="clock">The clock.</param>
    /// <param name="due">
    /// Called once for each item that has become due and is not in the queue any more; on the timer's thread, so that it must not block. It may
    /// set it again.
    /// </param>
    internal TimerQueue(TimeProvider clock, Action<T> due)
    {
        _clock = clock;
        _due = due;
        _timer = clock.CreateTimer(static queue => ((TimerQueue<T>)queue!).Fire(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Items that are in the queue.</summary>
    internal int Count
    {
        get
        {
            lock (_gate)
            {
                return _items.Count;
            }
        }
    }

    /// <summary>Says when an item is due, instead of what was said before.</summary>
    /// <param name="item">The item.</param>
    /// <param name="due">A time stamp, also one that has passed; <see cref="ExpiryTerms.Never"/> takes the item out.</param>
    internal void Set(T item, long due)
    {
        lock (_gate)
        {
            if (_disposed || due == ExpiryTerms.Never)
            {
                _items.Remove(item);
                return;
            }

            if (_items.TryGetValue(item, out (long Due, long Version) known) && known.Due == due)
            {
                return;
            }

            long version = ++_version;
            _items[item] = (due, version);
            _queue.Enqueue((item, version), due);
            if (_queue.Count > (2 * _items.Count) + 64)
            {
                Rebuild();
            }

            if (due < _armed)
            {
                Arm();
            }
        }
    }

    /// <summary>Nothing becomes due any more. Waits for a call that is under way.</summary>
    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _disposed = true;
            _items.Clear();
            _queue.Clear();
        }

        return _timer.DisposeAsync();
    }

    private void Fire()
    {
        var due = new List<T>();
        lock (_gate)
        {
            _armed = ExpiryTerms.Never;
            long now = _clock.GetTimestamp();
            while (TryPeek(out T? item, out long at) && at <= now)
            {
                _queue.Dequeue();
                _items.Remove(item);
                due.Add(item);
            }

            Arm();
        }

        due.ForEach(_due);
    }

    /// <summary>The item that is due first, if there is one. Drops what has been replaced or removed.</summary>
    private bool TryPeek([NotNullWhen(true)] out T? item, out long due)
    {
        while (_queue.TryPeek(out (T Item, long Version) first, out due))
        {
            if (_items.TryGetValue(first.Item, out (long Due, long Version) known) && known.Version == first.Version)
            {
                item = first.Item;
                return true;
            }

            _queue.Dequeue();
        }

        item = null;
        return false;
    }

    private void Arm()
    {
        if (_disposed || !TryPeek(out _, out long due) || due >= _armed)
        {
            return;
        }

        // A timer counts whole milliseconds, and may come a moment before the clock has got there: then it is set again.
        TimeSpan wait = TimeSpan.FromMilliseconds(Math.Ceiling(_clock.Between(_clock.GetTimestamp(), due).TotalMilliseconds));
        wait = wait < s_shortest ? s_shortest : wait > s_longest ? s_longest : wait;
        _armed = due;
        _timer.Change(wait, Timeout.InfiniteTimeSpan);
    }

    private void Rebuild()
    {
        _queue.Clear();
        foreach ((T item, (long due, long version)) in _items)
        {
            _queue.Enqueue((item, version), due);
        }
    }
}
