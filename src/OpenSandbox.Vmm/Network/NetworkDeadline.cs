namespace OpenSandbox.Vmm;

/// <summary>A token that ends with others, or after a time by the given clock.</summary>
internal sealed class NetworkDeadline : IDisposable
{
    private readonly CancellationTokenSource _timer;
    private readonly CancellationTokenSource _either;

    /// <summary>Starts the clock.</summary>
    internal NetworkDeadline(TimeSpan limit, TimeProvider time, params ReadOnlySpan<CancellationToken> others)
    {
        _timer = new CancellationTokenSource(limit, time);
        _either = CancellationTokenSource.CreateLinkedTokenSource([.. others, _timer.Token]);
    }

    internal CancellationToken Token => _either.Token;

    public void Dispose()
    {
        _either.Dispose();
        _timer.Dispose();
    }
}
