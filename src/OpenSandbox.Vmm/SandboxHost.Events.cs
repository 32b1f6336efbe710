using System.Runtime.CompilerServices;
using OpenSandbox.Vmm.Events;

namespace OpenSandbox.Vmm;

/// <content>What happens to the sandboxes.</content>
public sealed partial class SandboxHost
{
    private const int DefaultEventCapacity = 1_024;
    private const int MaxEventCapacity = 1_048_576;

    /// <summary>Where events go.</summary>
    internal EventHub Events { get; }

    /// <summary>
    /// Subscribes to what happens to the sandboxes of this host: whatever happens after this has returned is in it, so that nothing is missed
    /// between subscribing and acting.
    /// </summary>
    /// <param name="capacity">
    /// Events that are kept for a slow reader, 1 to 1,048,576; what does not fit is counted, and reported as
    /// <see cref="SandboxEventKind.Overrun"/>. Default: 1,024.
    /// </param>
    /// <returns>The subscription; dispose of it.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The capacity is out of range.</exception>
    /// <exception cref="InvalidOperationException">There are 256 subscriptions already.</exception>
    public SandboxEventSubscription SubscribeEvents(int capacity = DefaultEventCapacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(capacity, MaxEventCapacity);
        return Events.Subscribe(capacity);
    }

    /// <summary>
    /// What happens to the sandboxes of this host, as it happens: from the first <c>MoveNextAsync</c> on, before that returns. Where the first
    /// event may come before the reading begins use <see cref="SubscribeEvents"/>.
    /// </summary>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>The events, until the host has closed. A reader that is more than 1,024 behind gets an <see cref="SandboxEventKind.Overrun"/>.</returns>
    /// <exception cref="InvalidOperationException">There are 256 subscriptions already.</exception>
    public async IAsyncEnumerable<SandboxEvent> WatchEventsAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        using SandboxEventSubscription subscription = SubscribeEvents();
        await foreach (SandboxEvent happened in subscription.WithCancellation(cancellationToken).ConfigureAwait(false))
        {
            yield return happened;
        }
    }
}
