using OpenSandbox.Vmm.Lifecycle;

namespace OpenSandbox.Vmm;

/// <content>Operations that change the sandbox as a whole: one at a time.</content>
public sealed partial class Sandbox
{
    private readonly Lock _operationGate = new();
    private readonly CancellationTokenSource _closingToken = new();
    private readonly List<(SandboxEventKind Kind, SandboxEventDetails Details)> _toldAtEnd = [];
    private (string What, Task Done)? _operation;

    /// <summary>Carries an operation out while no other one is under way.</summary>
    /// <param name="what">What it is, for messages: "forking".</param>
    /// <param name="work">Does it; its token ends with the caller's, and when the sandbox is disposed.</param>
    /// <param name="cancellationToken">The caller's.</param>
    /// <exception cref="SandboxConflictException">Another one is under way.</exception>
    private async Task<T> OperateAsync<T>(string what, Func<CancellationToken, Task<T>> work, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_operationGate)
        {
            if (Volatile.Read(ref _closing) != 0 || _deleting)
            {
                throw NotRunning();
            }

            if (_operation is (string underWay, _))
            {
                throw new SandboxConflictException(Id, what, underWay);
            }

            _operation = (what, done.Task);
        }

        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _closingToken.Token);
        try
        {
            await EndCompactionAsync().ConfigureAwait(false);
            return await work(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException ended) when (!cancellationToken.IsCancellationRequested && _closingToken.IsCancellationRequested)
        {
            throw new SandboxStateException(Id, SandboxState.Stopping, SandboxState.Running, ended);
        }
        finally
        {
            lock (_operationGate)
            {
                _operation = null;

                // Under the gate: the next operation's events come after these.
                foreach ((SandboxEventKind kind, SandboxEventDetails details) in _toldAtEnd)
                {
                    _host.Events.Publish(kind, Id, details);
                }

                _toldAtEnd.Clear();
            }

            done.SetResult();
            ScheduleExpiry();
        }
    }

    /// <summary>
    /// Tells what the operation that is under way has come to, when it is over: who hears of it can begin the next one at once.
    /// </summary>
    private void TellAtEnd(SandboxEventKind kind, in SandboxEventDetails details = default)
    {
        lock (_operationGate)
        {
            _toldAtEnd.Add((kind, details with { State = State }));
        }
    }

    /// <summary>Ends the operation that is under way, if any, and lets no other one begin.</summary>
    /// <returns>The machine that there is afterwards.</returns>
    private async Task<SandboxRun?> InterruptOperationAsync()
    {
        Task underWay;
        lock (_operationGate)
        {
            underWay = _operation?.Done ?? Task.CompletedTask;
        }

        await _closingToken.CancelAsync().ConfigureAwait(false);
        await underWay.ConfigureAwait(false);
        await EndCompactionAsync().ConfigureAwait(false);
        return Volatile.Read(ref _run);
    }
}
