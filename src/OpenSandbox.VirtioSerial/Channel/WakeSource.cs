using System.Threading.Tasks.Sources;

namespace OpenSandbox.VirtioSerial;

/// <summary>
/// A reusable "look again": one waiter arms it under its lock, then awaits it outside; whoever changes the state wakes it under the same lock.
/// A wake may be spurious, so waiters loop. Continuations go to the thread pool: the reader loops wake, and must never run a caller's code.
/// </summary>
internal sealed class WakeSource : IValueTaskSource
{
    private ManualResetValueTaskSourceCore<bool> _core = new() { RunContinuationsAsynchronously = true };
    private bool _armed;

    /// <summary>Starts a wait. The lock is held, and the last wait is over.</summary>
    /// <returns>What to await, once, after the lock is released.</returns>
    internal ValueTask Arm()
    {
        _core.Reset();
        _armed = true;
        return new ValueTask(this, _core.Version);
    }

    /// <summary>Ends the wait, if there is one. The lock is held.</summary>
    internal void Wake()
    {
        if (_armed)
        {
            _armed = false;
            _core.SetResult(true);
        }
    }

    void IValueTaskSource.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
