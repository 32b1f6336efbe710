namespace OpenSandbox.Host.Protection;

/// <summary>
/// The places that previews may take: half of the server's, so that their visitors, who need no key and may stay for as long as they like, leave
/// the other half to its clients. Thread-safe.
/// </summary>
internal sealed class PreviewPlaces(ServerOptions options)
{
    /// <summary>Places of one sandbox at most.</summary>
    internal const int MaxOfOne = 256;

    private readonly int _most = Math.Max(1, options.MaxConcurrentRequests / 2);
    private readonly Lock _gate = new();
    private readonly Dictionary<string, int> _taken = new(StringComparer.Ordinal);
    private int _all;

    /// <summary>Takes a place for a sandbox, if there is one.</summary>
    internal bool TryEnter(string sandboxId)
    {
        lock (_gate)
        {
            int taken = _taken.GetValueOrDefault(sandboxId);
            if (_all >= _most || taken >= MaxOfOne)
            {
                return false;
            }

            _taken[sandboxId] = taken + 1;
            _all++;
            return true;
        }
    }

    /// <summary>Gives it back.</summary>
    internal void Leave(string sandboxId)
    {
        lock (_gate)
        {
            _all--;
            if (--_taken[sandboxId] == 0)
            {
                _taken.Remove(sandboxId);
            }
        }
    }
}
