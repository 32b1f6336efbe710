using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.State;

/// <summary>
/// A hold on the state directory. While anybody has a shared one, nothing is swept: files that no manifest names yet, or any more, stay. The
/// sweeper has the exclusive one. Hold it for one operation, not longer: the sweeper waits.
/// </summary>
internal sealed class StateLease : IDisposable
{
    private readonly StateStore _store;
    private FileLock? _lock;

    internal StateLease(StateStore store, FileLock held, bool exclusive)
    {
        _store = store;
        _lock = held;
        IsExclusive = exclusive;
    }

    internal bool IsExclusive { get; }

    /// <exception cref="InvalidOperationException">It has been given back, or is of another store.</exception>
    internal void Demand(StateStore store)
    {
        if (_lock is null || !ReferenceEquals(store, _store))
        {
            throw new InvalidOperationException("the operation needs a lease of this state directory that is still held");
        }
    }

    public void Dispose() => Interlocked.Exchange(ref _lock, null)?.Dispose();
}
