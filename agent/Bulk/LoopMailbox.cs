using System.Runtime.ExceptionServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Work that other threads hand to the bulk loop.</summary>
internal sealed class LoopMailbox
{
    private readonly Lock _gate = new();
    private readonly int _event = GuestException.Check(Libc.EventFd(0, Linux.EFD_CLOEXEC | Linux.EFD_NONBLOCK), "eventfd");
    private List<Action> _posted = [];
    private List<Action> _running = [];

    /// <summary>The descriptor that becomes readable when something was posted.</summary>
    internal int Fd => _event;

    /// <summary>Closes the descriptor.</summary>
    internal void Close() => _ = Libc.Close(_event);

    /// <summary>Posts work. Thread-safe; never blocks.</summary>
    internal void Post(Action action)
    {
        lock (_gate)
        {
            _posted.Add(action);
            if (_posted.Count > 1)
            {
                return; // the first one woke the loop
            }
        }

        ReadOnlySpan<byte> one = [1, 0, 0, 0, 0, 0, 0, 0];
        _ = Libc.Write(_event, one, 8); // fails only where the counter is at its maximum, which wakes as well
    }

    /// <summary>Runs what was posted, on the caller's thread.</summary>
    internal void RunAll()
    {
        Span<byte> count = stackalloc byte[8];
        _ = Libc.Read(_event, count, 8);
        lock (_gate)
        {
            (_posted, _running) = (_running, _posted);
        }

        // One that fails must not take the others along: somebody waits for each of them. The loop hears of the first failure.
        ExceptionDispatchInfo? failure = null;
        foreach (Action action in _running)
        {
            try
            {
                action();
            }
            catch (Exception exception)
            {
                failure ??= ExceptionDispatchInfo.Capture(exception);
            }
        }

        _running.Clear();
        failure?.Throw();
    }
}
