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
    private readonly Dictionary<(string SandboxId, string Id), Kept> _handles = [];
    private readonly LinkedList<Kept> _ended = new();
    private long _bytes;
    private int _running;

    /// <summary>Commands that have not ended, and places that are taken for some.</summary>
    internal int Running
    {
        get
        {
            lock (_gate)
            {
                return _running;
            }
        }
    }

    /// <summary>Takes a place for a command, for <see cref="Add"/> or <see cref="Release"/>.</summary>
    /// <returns>Whether there is one.</returns>
    internal bool TryReserve()
    {
        lock (_gate)
        {
            if (_running >= MaxRunning)
            {
                return false;
            }

            _running++;
            return true;
        }
    }

    /// <summary>Gives a place back: the command could not be started.</summary>
    internal void Release()
    {
        lock (_gate)
        {
            _running--;
        }
    }

    /// <summary>Keeps a command that has a place until it has been forgotten.</summary>
    internal void Add(string sandboxId, ExecHandle handle)
    {
        var kept = new Kept((sandboxId, handle.Id), handle);
        lock (_gate)
        {
            _handles[kept.Key] = kept;
        }

        _ = EndAsync(kept);
    }

    /// <summary>Forgets a command that has ended: its client has the result, or is told why there is none.</summary>
    internal void Remove(string sandboxId, string id)
    {
        lock (_gate)
        {
            if (_handles.Remove((sandboxId, id), out Kept? kept) && kept.Node is { } node)
            {
                _ended.Remove(node);
                _bytes -= kept.Bytes;
            }
        }
    }

    /// <summary>Finds a command.</summary>
    internal bool TryGet(string sandboxId, string id, [NotNullWhen(true)] out ExecHandle? handle)
    {
        lock (_gate)
        {
            Forget();
            handle = _handles.GetValueOrDefault((sandboxId, id))?.Handle;
            return handle is not null;
        }
    }

    private async Task EndAsync(Kept kept)
    {
        Task<ExecResult> running = kept.Handle.Running;
        await ((Task)running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // who asks for the result is told
        long bytes = 0;
        if (running.IsCompletedSuccessfully)
        {
            ExecResult result = await running.ConfigureAwait(false);
            bytes = result.StandardOutputBytes.Length + (long)result.StandardErrorBytes.Length;
        }

        lock (_gate)
        {
            _running--;
            if (_handles.GetValueOrDefault(kept.Key) != kept)
            {
                return; // its result has been handed over
            }

            (kept.EndedAt, kept.Bytes, kept.Node) = (time.GetTimestamp(), bytes, _ended.AddLast(kept));
            _bytes += bytes;
            Forget();
        }
    }

    private void Forget()
    {
        while (_ended.First is { Value: Kept oldest } node
            && (_ended.Count > MaxEnded || (_bytes > MaxBytes && _ended.Count > 1) || time.GetElapsedTime(oldest.EndedAt) > s_keepAfterEnd))
        {
            _ended.Remove(node);
            _handles.Remove(oldest.Key);
            _bytes -= oldest.Bytes;
        }
    }

    /// <summary>A command, and what of it is known once it has ended.</summary>
    private sealed class Kept((string SandboxId, string Id) key, ExecHandle handle)
    {
        internal (string SandboxId, string Id) Key { get; } = key;

        internal ExecHandle Handle { get; } = handle;

        internal long EndedAt { get; set; }

        internal long Bytes { get; set; }

        internal LinkedListNode<Kept>? Node { get; set; }
    }
}
