using OpenSandbox.Vmm.Events;

namespace OpenSandbox.Vmm;

/// <summary>
/// A subscription to the events of a host's sandboxes, from <see cref="SandboxHost.SubscribeEvents"/>: it has everything that has happened
/// since it was made. Dispose of it.
/// </summary>
/// <remarks>
/// For one reader at a time. A reader that is slow holds up nothing: what does not fit its buffer is dropped, and an
/// <see cref="SandboxEventKind.Overrun"/> stands where it is missing.
/// </remarks>
public sealed class SandboxEventSubscription : IAsyncEnumerable<SandboxEvent>, IDisposable
{
    private readonly EventHub _hub;
    private readonly TimeProvider _clock;
    private readonly int _capacity;
    private readonly Lock _gate = new();
    private readonly Queue<SandboxEvent> _events = new();
    private (long First, long Count)? _lost;
    private TaskCompletionSource? _waiting;
    private bool _ended;
    private int _reading;

    internal SandboxEventSubscription(EventHub hub, TimeProvider clock, int capacity)
    {
        _hub = hub;
        _clock = clock;
        _capacity = capacity;
    }

    /// <summary>
    /// Takes the events in their order, and waits for more. Ends when the subscription is disposed of or the host has closed, after what is
    /// there has been taken.
    /// </summary>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>; the subscription stays.</param>
    /// <returns>The events.</returns>
    /// <exception cref="InvalidOperationException">Somebody is reading already.</exception>
    public async IAsyncEnumerator<SandboxEvent> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref _reading, 1) != 0)
        {
            throw new InvalidOperationException("Another reader takes the events of this subscription.");
        }

        try
        {
            while (true)
            {
                while (TryTake(out SandboxEvent? next, out Task? more))
                {
                    if (next is not null)
                    {
                        yield return next;
                        continue;
                    }

                    await more!.WaitAsync(cancellationToken).ConfigureAwait(false);
                }

                yield break;
            }
        }
        finally
        {
            Volatile.Write(ref _reading, 0);
        }
    }

    /// <summary>Ends the subscription; its reader gets what is there, and its end.</summary>
    public void Dispose()
    {
        _hub.Remove(this);
        End();
    }

    /// <summary>Takes in an event, or counts it as lost. Never waits.</summary>
    internal void Add(SandboxEvent happened)
    {
        lock (_gate)
        {
            if (_ended)
            {
                return;
            }

            if (_lost is (long first, long count))
            {
                if (_events.Count >= _capacity)
                {
                    _lost = (first, count + 1);
                    return;
                }

                // There is room again: first what is missing. One event more than the capacity is there at most.
                _events.Enqueue(Missing(first, count));
                _lost = null;
            }
            else if (_events.Count >= _capacity)
            {
                _lost = (happened.Sequence, 1);
                return;
            }

            _events.Enqueue(happened);
            Interlocked.Exchange(ref _waiting, null)?.TrySetResult();
        }
    }

    /// <summary>Nothing comes any more.</summary>
    internal void End()
    {
        lock (_gate)
        {
            _ended = true;
            Interlocked.Exchange(ref _waiting, null)?.TrySetResult();
        }
    }

    /// <returns>Whether it goes on: with an event, or with something to wait for.</returns>
    private bool TryTake(out SandboxEvent? next, out Task? more)
    {
        lock (_gate)
        {
            more = null;
            if (_events.TryDequeue(out next))
            {
                return true;
            }

            if (_lost is (long first, long count))
            {
                _lost = null;
                next = Missing(first, count);
                return true;
            }

            if (_ended)
            {
                return false;
            }

            _waiting ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            more = _waiting.Task;
            return true;
        }
    }

    private SandboxEvent Missing(long first, long count) =>
        new(first, SandboxEventKind.Overrun, "", _clock.GetUtcNow().ToUniversalTime(), new SandboxEventDetails { Lost = count });
}
