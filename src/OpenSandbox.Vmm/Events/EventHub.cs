namespace OpenSandbox.Vmm.Events;

/// <summary>Hands the events of a host's sandboxes to whoever has subscribed. Thread-safe; never waits for a reader.</summary>
internal sealed class EventHub(TimeProvider clock)
{
    /// <summary>Subscriptions at a time: a program that forgets to dispose of them is told, instead of getting slower.</summary>
    internal const int MaxSubscriptions = 256;

    private readonly Lock _gate = new();
    private SandboxEventSubscription[] _subscriptions = [];
    private long _sequence;
    private bool _completed;

    internal SandboxEventSubscription Subscribe(int capacity)
    {
        var subscription = new SandboxEventSubscription(this, clock, capacity);
        lock (_gate)
        {
            if (_completed)
            {
                subscription.End();
            }
            else if (_subscriptions.Length == MaxSubscriptions)
            {
                throw new InvalidOperationException($"there are {MaxSubscriptions} subscriptions already; dispose of those that are not needed");
            }
            else
            {
                _subscriptions = [.. _subscriptions, subscription];
            }
        }

        return subscription;
    }

    internal void Remove(SandboxEventSubscription subscription)
    {
        lock (_gate)
        {
            _subscriptions = [.. _subscriptions.Where(other => other != subscription)];
        }
    }

    internal void Publish(SandboxEventKind kind, string sandboxId, in SandboxEventDetails details)
    {
        lock (_gate)
        {
            // Under the gate, so that every subscriber gets them in the order of their numbers.
            long sequence = ++_sequence;
            if (_subscriptions.Length == 0)
            {
                return;
            }

            var happened = new SandboxEvent(sequence, kind, sandboxId, clock.GetUtcNow().ToUniversalTime(), details);
            foreach (SandboxEventSubscription subscription in _subscriptions)
            {
                subscription.Add(happened);
            }
        }
    }

    /// <summary>Nothing happens any more.</summary>
    internal void Complete()
    {
        SandboxEventSubscription[] ended;
        lock (_gate)
        {
            _completed = true;
            ended = _subscriptions;
            _subscriptions = [];
        }

        foreach (SandboxEventSubscription subscription in ended)
        {
            subscription.End();
        }
    }
}
