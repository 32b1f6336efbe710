namespace OpenSandbox.Host.Sandboxes;

/// <summary>
/// Lets those who change the same sandbox as a whole wait for each other, where the library would refuse all but the first. By its id, as far
/// as there are gates. Thread-safe.
/// </summary>
internal sealed class SandboxGates
{
    private const int Count = 256;

    private readonly SemaphoreSlim[] _gates = [.. Enumerable.Range(0, Count).Select(static _ => new SemaphoreSlim(1))];

    /// <summary>Waits for its turn; what is done within is the only one.</summary>
    internal async Task<T> RunAsync<T>(string id, Func<Task<T>> work, CancellationToken cancellationToken)
    {
        SemaphoreSlim gate = _gates[(uint)id.GetHashCode(StringComparison.Ordinal) % Count];
        await gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return await work().ConfigureAwait(false);
        }
        finally
        {
            gate.Release();
        }
    }
}
