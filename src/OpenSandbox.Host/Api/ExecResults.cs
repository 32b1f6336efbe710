using System.Diagnostics.CodeAnalysis;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>
/// Commands that go on after the answer, and what came of them: each for ten minutes from its end, as far as there is room; then the oldest
/// ones go first. Thread-safe.
/// </summary>
internal sealed class ExecResults(TimeProvider time)
{
    /// <summary>Commands under way at once.</summary>
    internal const int MaxRunning = 4_096;

    /// <summary>Commands that have ended, and are kept.</summary>
    internal const int MaxEnded = 16_384;

    /// <summary>What the kept ones have written, bytes.</summary>
    internal const long MaxBytes = 256 << 20;

    private static readonly TimeSpan s_keepAfterEnd = TimeSpan.FromMinutes(10);

    private readonly Lock _gate = new();
    private readonly Dictionary<(string SandboxId, string Id), ExecHandle> _handles = [];
    private readonly Queue<Ended> _ended = new();
    private long _bytes;

    /// <summary>Whether one more may be started.</summary>
    internal bool HasRoom => Running < MaxRunning;

    /// <summary>Commands that have not ended.</summary>
    internal int Running
    {
        get
        {
            lock (_gate)
            {
                return _handles.Count - _ended.Count;
            }
        }
    }

    /// <summary>Keeps a command until it has been forgotten.</summary>
    internal void Add(string sandboxId, ExecHandle handle)
    {
        lock (_gate)
        {
            _handles[(sandboxId, handle.Id)] = handle;
        }

        _ = EndAsync((sandboxId, handle.Id), handle.Running);
    }

    /// <summary>Finds a command.</summary>
    internal bool TryGet(string sandboxId, string id, [NotNullWhen(true)] out ExecHandle? handle)
    {
        lock (_gate)
        {
            Forget();
            return _handles.TryGetValue((sandboxId, id), out handle);
        }
    }

    private async Task EndAsync((string SandboxId, string Id) key, Task<ExecResult> running)
    {
        await ((Task)running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // who asks for the result is told
        long bytes = 0;
        if (running.IsCompletedSuccessfully)
        {
            ExecResult result = await running.ConfigureAwait(false);
            bytes = result.StandardOutputBytes.Length + (long)result.StandardErrorBytes.Length;
        }

        lock (_gate)
        {
            _ended.Enqueue(new Ended(key, time.GetTimestamp(), bytes));
            _bytes += bytes;
            Forget();
        }
    }

    private void Forget()
    {
        while (_ended.TryPeek(out Ended? oldest)
            && (_ended.Count > MaxEnded || (_bytes > MaxBytes && _ended.Count > 1) || time.GetElapsedTime(oldest.At) > s_keepAfterEnd))
        {
            _ended.Dequeue();
            _handles.Remove(oldest.Key);
            _bytes -= oldest.Bytes;
        }
    }

    private sealed record Ended((string SandboxId, string Id) Key, long At, long Bytes);
}
