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

        var source = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        source.CancelAfter(limit);
        return source;
    }
}
