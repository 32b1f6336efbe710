namespace OpenSandbox.Vmm;

/// <summary>Deadlines of this library, joined with the caller's token.</summary>
internal static class Deadlines
{
    /// <summary>A token that ends after <paramref name="limit"/> or with the caller's. Dispose it.</summary>
    internal static CancellationTokenSource Start(TimeSpan limit, TimeProvider time, CancellationToken cancellationToken)
    {
        if (!cancellationToken.CanBeCanceled)
        {
            return new CancellationTokenSource(limit, time);
        }

        if (time == TimeProvider.System)
        {
            var source = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            source.CancelAfter(limit);
            return source;
        }

        // CancelAfter knows only the system's clock. With another one there are two sources, and the inner one ends with its timer.
        var timer = new CancellationTokenSource(limit, time);
        return CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, timer.Token);
    }
}
