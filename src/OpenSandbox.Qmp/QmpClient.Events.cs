using System.Text.Json;
using OpenSandbox.Qmp.Protocol;

namespace OpenSandbox.Qmp;

// Events: who listens, and handing them out.
public sealed partial class QmpClient
{
    /// <summary>What an event takes besides its data, and what each token of the data adds to it, in bytes.</summary>
    private const int EventOverhead = 256;
    private const int BytesPerToken = 12;

    /// <summary>Replaced, never changed, with the lock held; the reader loop reads it without.</summary>
    private volatile QmpEventSubscription[] _subscriptions = [];

    /// <summary>Begins to collect events. To be called before the command that causes them.</summary>
    /// <param name="names">The events wanted, such as <c>STOP</c>; none for all.</param>
    /// <returns>A queue of its own. When the connection has ended (also before this call), its reader gets the cause.</returns>
    /// <exception cref="ArgumentException">A name is null or empty.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed of.</exception>
    public QmpEventSubscription Subscribe(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            ArgumentException.ThrowIfNullOrEmpty(name, nameof(names));
        }

        ObjectDisposedException.ThrowIf(_disposed, this);
        var subscription = new QmpEventSubscription(this, names.ToArray(), _options);
        lock (_gate)
        {
            if (_cause is null)
            {
                _subscriptions = [.. _subscriptions, subscription];
                return subscription;
            }
        }

        subscription.End(_cause);
        return subscription;
    }

    /// <summary>Waits for the next event with one of <paramref name="names"/> that <paramref name="predicate"/> accepts.</summary>
    /// <remarks>It listens from the moment of the call, not of the await: call it, send the command, then await it.</remarks>
    /// <param name="names">The events wanted; none for all.</param>
    /// <param name="predicate">Runs on a pool thread; null accepts every event.</param>
    /// <param name="timeout">More than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="QmpTimeoutException">The event did not come in time.</exception>
    /// <exception cref="QmpConnectionException">The connection ended first.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<QmpEvent> WaitForEventAsync(
        ReadOnlySpan<string> names, Func<QmpEvent, bool>? predicate, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        QmpClientOptions.CheckTimeout(timeout);
        return WaitAndUnsubscribeAsync(Subscribe(names), predicate, timeout, cancellationToken);
    }

    /// <summary>Takes a subscription off the list.</summary>
    internal void Unsubscribe(QmpEventSubscription subscription)
    {
        lock (_gate)
        {
            _subscriptions = Array.FindAll(_subscriptions, other => other != subscription);
        }
    }

    private static async Task<QmpEvent> WaitAndUnsubscribeAsync(
        QmpEventSubscription subscription, Func<QmpEvent, bool>? predicate, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using (subscription)
        {
            return await subscription.WaitForAsync(predicate, timeout, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Hands an event to those who want it. Its data is copied out of the receive buffer once, and only if somebody does.</summary>
    private void Publish(in Message message)
    {
        QmpEvent? published = null;
        int takers = 0;
        foreach (QmpEventSubscription subscription in _subscriptions)
        {
            if (subscription.Wants(message.EventName))
            {
                published ??= CreateEvent(message);
                subscription.Offer(published);
                takers++;
            }
        }

        _logger.EventReceived(message.EventName, takers);
    }

    private static QmpEvent CreateEvent(in Message message)
    {
        JsonElement data = message.Payload.IsEmpty ? default : Replies.ParseElement(message.Payload);
        long weight = EventOverhead + message.Payload.Length + ((long)message.PayloadTokens * BytesPerToken);
        return new QmpEvent(message.EventName, message.Timestamp, data, (int)Math.Min(weight, int.MaxValue));
    }
}
