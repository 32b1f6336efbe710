using FsCheck.Fluent;
using OpenSandbox.Vmm.Events;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Vmm.Tests.Events;

public sealed class EventHubTests
{
    private readonly EventHub _hub = new(new ManualClock());

    [Fact]
    public async Task Subscription_HasWhatCameAfterItAndNothingBefore()
    {
        Publish(1);
        using SandboxEventSubscription subscription = _hub.Subscribe(10);
        Publish(2);
        subscription.Dispose();
        Publish(1);

        Assert.Equal([2L, 3L], await ReadAsync(subscription));
    }

    [Fact]
    public async Task SlowReader_LosesWhatDoesNotFit_AndIsToldWhereAndHowMuch()
    {
        using SandboxEventSubscription subscription = _hub.Subscribe(2);
        Publish(5);
        await using IAsyncEnumerator<SandboxEvent> reader = subscription.GetAsyncEnumerator();
        Assert.True(await reader.MoveNextAsync());
        Assert.Equal(1, reader.Current.Sequence);
        Publish(2); // one of them fits, behind the gap
        _hub.Complete();
        var rest = new List<(long Sequence, SandboxEventKind Kind, long Lost)>();
        while (await reader.MoveNextAsync())
        {
            rest.Add((reader.Current.Sequence, reader.Current.Kind, reader.Current.Lost));
        }

        Assert.Equal(
            [
                (2, SandboxEventKind.Paused, 0),
                (3, SandboxEventKind.Overrun, 3),
                (6, SandboxEventKind.Paused, 0),
                (7, SandboxEventKind.Overrun, 1),
            ],
            rest);
    }

    [Fact]
    public async Task Reader_WaitsForTheNextOne_AndEndsWithItsTokenOrTheHost()
    {
        using SandboxEventSubscription subscription = _hub.Subscribe(10);
        await using (IAsyncEnumerator<SandboxEvent> reader = subscription.GetAsyncEnumerator())
        {
            ValueTask<bool> next = reader.MoveNextAsync();
            Assert.False(next.IsCompleted);
            Publish(1);
            Assert.True(await next.AsTask().WaitAsync(Limits.Wait));
        }

        using (var stop = new CancellationTokenSource())
        {
            await using IAsyncEnumerator<SandboxEvent> reader = subscription.GetAsyncEnumerator(stop.Token);
            Task<bool> next = reader.MoveNextAsync().AsTask();
            await stop.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next.WaitAsync(Limits.Wait));
        }

        await using IAsyncEnumerator<SandboxEvent> last = subscription.GetAsyncEnumerator();
        Task<bool> end = last.MoveNextAsync().AsTask();
        await Assert.ThrowsAsync<InvalidOperationException>(() => subscription.GetAsyncEnumerator().MoveNextAsync().AsTask());
        _hub.Complete();
        Assert.False(await end.WaitAsync(Limits.Wait));
        Assert.Empty(await ReadAsync(_hub.Subscribe(1)));
    }

    [Fact]
    public void Subscriptions_AreLimited()
    {
        SandboxEventSubscription[] all = [.. Enumerable.Range(0, EventHub.MaxSubscriptions).Select(_ => _hub.Subscribe(1))];

        Assert.Throws<InvalidOperationException>(() => _hub.Subscribe(1));
        all[7].Dispose();
        _hub.Subscribe(1).Dispose();
    }

    /// <summary>Whatever the reader's pace: every event is there in order, or is counted as lost where it is missing.</summary>
    [Fact]
    public void Subscription_AnyPace_AccountsForEveryEvent() => Cases.ForAll(
        from capacity in Gen.Choose(1, 8)
        from steps in Gen.ListOf(Gen.Choose(-6, 6))
        select (capacity, steps),
        given =>
        {
            var hub = new EventHub(new ManualClock());
            using SandboxEventSubscription subscription = hub.Subscribe(given.capacity);
            IAsyncEnumerator<SandboxEvent> reader = subscription.GetAsyncEnumerator();
            long published = 0;
            long next = 1;
            foreach (int step in given.steps)
            {
                for (int i = 0; i < step; i++)
                {
                    published++;
                    hub.Publish(SandboxEventKind.Paused, "sb-00000000", default);
                }

                for (int i = 0; i > step && next <= published; i--)
                {
                    Read();
                }
            }

            hub.Complete();
            while (next <= published)
            {
                Read();
            }

            ValueTask<bool> end = reader.MoveNextAsync();
            return end is { IsCompleted: true, Result: false };

            void Read()
            {
                ValueTask<bool> moved = reader.MoveNextAsync();
                Assert.True(moved is { IsCompleted: true, Result: true });
                Assert.Equal(next, reader.Current.Sequence);
                next += reader.Current.Kind == SandboxEventKind.Overrun ? reader.Current.Lost : 1;
            }
        });

    private void Publish(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _hub.Publish(SandboxEventKind.Paused, "sb-00000000", default);
        }
    }

    private static async Task<List<long>> ReadAsync(SandboxEventSubscription subscription)
    {
        var numbers = new List<long>();
        await foreach (SandboxEvent happened in subscription)
        {
            numbers.Add(happened.Sequence);
        }

        return numbers;
    }
}
