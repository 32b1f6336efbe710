using System.Runtime.CompilerServices;
using System.Threading.Channels;

namespace OpenSandbox.Qmp;

/// <summary>A bounded queue of events, made by <see cref="QmpClient.Subscribe"/>. May be read by several readers; each event goes to one.</summary>
/// <remarks>
/// A reader that falls behind loses the oldest events (<see cref="Dropped"/>), and holds up nobody. When the connection ends, events that
/// are queued can still be read; after them every read throws the connection's first cause.
/// </remarks>
public sealed class QmpEventSubscription : IDisposable
{
    private readonly QmpClient _client;
    private readonly string[] _names;
    private readonly QmpClientOptions _options;
    private readonly Channel<QmpEvent> _queue;
    private long _queuedBytes;
    private long _dropped;

    internal QmpEventSubscription(QmpClient client, string[] names, QmpClientOptions options)
    {
        _client = client;
        _names = names;
        _options = options;
        _queue = Channel.CreateBounded<QmpEvent>(
            new BoundedChannelOptions(options.EventQueueCapacity) { FullMode = BoundedChannelFullMode.DropOldest }, CountDropped);
    }

    /// <summary>Events that the reader lost because it was too slow.</summary>
    public long Dropped => Volatile.Read(ref _dropped);

    /// <summary>Takes the next event, waiting for it.</summary>
    /// <param name="cancellationToken">Ends the wait; no event is lost by that.</param>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="ObjectDisposedException">The subscription was disposed of.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async ValueTask<QmpEvent> ReadAsync(CancellationToken cancellationToken = default)
    {
        // The wait throws the exception that the queue was completed with.
        while (await _queue.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
        {
            if (TryRead(out QmpEvent? next))
            {
                return next;
            }
        }

        throw new ObjectDisposedException(nameof(QmpEventSubscription));
    }

    /// <summary>All events, without an end but the exceptions of <see cref="ReadAsync"/>.</summary>
    /// <param name="cancellationToken">Ends the enumeration with <see cref="OperationCanceledException"/>.</param>
    public async IAsyncEnumerable<QmpEvent> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (true)
        {
            yield return await ReadAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Takes events until one is accepted, and returns that one.</summary>
    /// <param name="predicate">Runs on a pool thread; null accepts every event.</param>
    /// <param name="timeout">More than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="QmpTimeoutException">The event did not come in time.</exception>
    /// <exception cref="QmpConnectionException">The connection ended first.</exception>
    /// <exception cref="ObjectDisposedException">The subscription was disposed of.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<QmpEvent> WaitForAsync(Func<QmpEvent, bool>? predicate, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        QmpClientOptions.CheckTimeout(timeout);
        return WaitForCoreAsync(predicate, timeout, cancellationToken);
    }

    /// <summary>Stops collecting. A reader that waits gets <see cref="ObjectDisposedException"/>. Idempotent.</summary>
    public void Dispose()
    {
        _client.Unsubscribe(this);
        _queue.Writer.TryComplete();
        while (TryRead(out _))
        {
            // Only to let go of what nobody will read.
        }
    }

    /// <summary>Whether the subscription is for events of this name.</summary>
    internal bool Wants(string name) => _names.Length == 0 || Array.IndexOf(_names, name) >= 0;

    /// <summary>Queues an event, at the cost of older ones if need be. Called by the reader loop only.</summary>
    internal void Offer(QmpEvent next)
    {
        Interlocked.Add(ref _queuedBytes, next.Weight);
        if (!_queue.Writer.TryWrite(next))
        {
            // Disposed of in this moment.
            Interlocked.Add(ref _queuedBytes, -next.Weight);
            return;
        }

        while (Volatile.Read(ref _queuedBytes) > _options.EventQueueBytes && _queue.Reader.Count > 1 && TryRead(out _))
        {
            Interlocked.Increment(ref _dropped);
        }
    }

    /// <summary>Lets readers have the connection's end, after what is queued.</summary>
    internal void End(QmpConnectionException cause) => _queue.Writer.TryComplete(cause);

    private async Task<QmpEvent> WaitForCoreAsync(Func<QmpEvent, bool>? predicate, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(timeout, _options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            while (true)
            {
                QmpEvent next = await ReadAsync(either.Token).ConfigureAwait(false);
                if (predicate is null || predicate(next))
                {
                    return next;
                }
            }
        }
        catch (OperationCanceledException e) when (e.CancellationToken == either.Token)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new QmpTimeoutException(_names.Length == 0 ? "event" : $"event {string.Join('|', _names)}", timeout);
        }
    }

    private bool TryRead([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out QmpEvent? next)
    {
        if (!_queue.Reader.TryRead(out next))
        {
            return false;
        }

        Interlocked.Add(ref _queuedBytes, -next.Weight);
        return true;
    }

    private void CountDropped(QmpEvent dropped)
    {
        Interlocked.Add(ref _queuedBytes, -dropped.Weight);
        Interlocked.Increment(ref _dropped);
    }
}
