namespace OpenSandbox.Cli.Control;

/// <summary>How many bytes may still be sent. One side takes, the other gives; both at any time.</summary>
internal sealed class ControlCredit(int initial)
{
    private readonly Lock _gate = new();
    private TaskCompletionSource? _waiting;
    private long _left = initial;

    /// <summary>Takes some credit, waiting for it where there is none.</summary>
    /// <returns>Bytes that may be sent now: at least one, at most as many as wanted.</returns>
    internal async ValueTask<int> TakeAsync(int wanted, CancellationToken cancellationToken)
    {
        while (true)
        {
            Task given;
            lock (_gate)
            {
                if (_left > 0)
                {
                    int taken = (int)Math.Min(_left, wanted);
                    _left -= taken;
                    return taken;
                }

                _waiting ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                given = _waiting.Task;
            }

            await given.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Gives back what has been used up.</summary>
    internal void Give(uint bytes)
    {
        lock (_gate)
        {
            _left += bytes;
            _waiting?.TrySetResult();
            _waiting = null;
        }
    }
}
