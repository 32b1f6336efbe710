using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace OpenSandbox.Vmm;

/// <summary>The last refusals of one sandbox, and those who watch them come.</summary>
/// <remarks>Thread-safe and bounded: <see cref="Kept"/> refusals, <see cref="MaxWatchers"/> watchers with as many each.</remarks>
internal sealed class RefusalLog
{
    internal const int Kept = 256;
    internal const int MaxWatchers = 64;

    private readonly Lock _lock = new();
    private readonly Queue<EgressRefusal> _recent = new();
    private readonly List<Channel<EgressRefusal>> _watchers = [];
    private long _sequence;
    private long _missed;
    private bool _completed;

    /// <summary>Refusals that slow watchers lost.</summary>
    internal long Missed => Interlocked.Read(ref _missed);

    /// <summary>The last ones, oldest first.</summary>
    internal IReadOnlyList<EgressRefusal> Recent
    {
        get
        {
            lock (_lock)
            {
                return _recent.ToArray();
            }
        }
    }

    /// <summary>Numbers a refusal, keeps it and gives it to the watchers.</summary>
    internal void Add(EgressRefusal refusal)
    {
        // Under the lock, so that watchers see numbers in order; nothing in here waits or runs user code.
        lock (_lock)
        {
            EgressRefusal numbered = refusal with { Sequence = ++_sequence };
            if (_recent.Count == Kept)
            {
                _recent.Dequeue();
            }

            _recent.Enqueue(numbered);
            foreach (Channel<EgressRefusal> watcher in _watchers)
            {
                watcher.Writer.TryWrite(numbered);
            }
        }
    }

    /// <summary>The refusals from the first read on; the oldest are dropped for a reader that does not keep up.</summary>
    internal async IAsyncEnumerable<EgressRefusal> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        Channel<EgressRefusal> channel = Channel.CreateBounded<EgressRefusal>(
            new BoundedChannelOptions(Kept) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true, AllowSynchronousContinuations = false },
            _ => Interlocked.Increment(ref _missed));
        lock (_lock)
        {
            if (_watchers.Count == MaxWatchers)
            {
                throw new InvalidOperationException($"at most {MaxWatchers} watch the refusals of one sandbox");
            }

            if (_completed)
            {
                yield break;
            }

            _watchers.Add(channel);
        }

        try
        {
            await foreach (EgressRefusal refusal in channel.Reader.ReadAllAsync(cancellationToken).ConfigureAwait(false))
            {
                yield return refusal;
            }
        }
        finally
        {
            lock (_lock)
            {
                _watchers.Remove(channel);
            }
        }
    }

    /// <summary>Ends every watch, once what is queued has been read.</summary>
    internal void Complete()
    {
        lock (_lock)
        {
            _completed = true;
            foreach (Channel<EgressRefusal> watcher in _watchers)
            {
                watcher.Writer.TryComplete();
            }

            _watchers.Clear();
        }
    }
}
