namespace OpenSandbox.Integration.Tests;

/// <summary>Reads events of a host, each wait with a deadline.</summary>
internal sealed class ReadEvents : IAsyncDisposable
{
    private readonly SandboxEventSubscription _subscription;
    private readonly IAsyncEnumerator<SandboxEvent> _reader;

    internal ReadEvents(SandboxHost host)
    {
        _subscription = host.SubscribeEvents();
        _reader = _subscription.GetAsyncEnumerator(CancellationToken.None);
    }

    /// <summary>All that has been read.</summary>
    internal List<SandboxEvent> Seen { get; } = [];

    /// <summary>Reads up to the next event of a kind.</summary>
    internal async Task<SandboxEvent> UntilAsync(SandboxEventKind kind)
    {
        while (true)
        {
            bool more = await _reader.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60));
            Assert.True(more, $"the events ended before {kind}: {string.Join(", ", Seen.Select(static seen => seen.Kind))}");
            Seen.Add(_reader.Current);
            if (_reader.Current.Kind == kind)
            {
                return _reader.Current;
            }
        }
    }

    /// <summary>Reads what is there, and takes nothing more.</summary>
    internal async Task<List<SandboxEvent>> DrainAsync()
    {
        _subscription.Dispose();
        while (await _reader.MoveNextAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60)))
        {
            Seen.Add(_reader.Current);
        }

        return Seen;
    }

    public async ValueTask DisposeAsync()
    {
        _subscription.Dispose();
        await _reader.DisposeAsync();
    }
}
