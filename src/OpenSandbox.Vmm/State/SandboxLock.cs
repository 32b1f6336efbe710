using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.State;

/// <summary>Ownership of one sandbox: only its holder changes its manifest. The kernel drops it with its holder.</summary>
internal sealed class SandboxLock : IDisposable
{
    private readonly StateStore _store;
    private FileLock? _lock;

    internal SandboxLock(StateStore store, string sandboxId, FileLock held)
    {
        _store = store;
        SandboxId = sandboxId;
        _lock = held;
    }

    /// <summary>Whose.</summary>
    internal string SandboxId { get; }

    /// <summary>One commit at a time.</summary>
    internal Lock Gate { get; } = new();

    internal bool IsHeld => Volatile.Read(ref _lock) is not null;

    /// <exception cref="InvalidOperationException">It has been given back, or is of another store.</exception>
    internal void Demand(StateStore store)
    {
        if (!IsHeld || !ReferenceEquals(store, _store))
        {
            throw new InvalidOperationException($"the lock of sandbox {SandboxId} is not held any more, or is of another state directory");
        }
    }

    public void Dispose() => Interlocked.Exchange(ref _lock, null)?.Dispose();
}
