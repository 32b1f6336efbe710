using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Telemetry;

namespace OpenSandbox.Vmm;

/// <content>Deleting the sandbox.</content>
public sealed partial class Sandbox
{
    /// <summary>
    /// Ends the sandbox and deletes what has been saved of it, for good. Its checkpoints stay: <see cref="SandboxHost.DeleteCheckpointAsync"/>.
    /// </summary>
    /// <param name="cancellationToken">Before it begins.</param>
    /// <returns>When nothing of it is left. More calls wait for the same end.</returns>
    /// <exception cref="SandboxSnapshotException">What was saved could not be deleted; it is still there, and the VM is gone.</exception>
    public async Task DeleteAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (_operationGate)
        {
            if (Volatile.Read(ref _closing) == 0)
            {
                _deleting = true;
            }
        }

        await Operation.Delete.RunAsync(Id, async () =>
        {
            await DeleteNowAsync().ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);
    }

    private async Task DeleteNowAsync()
    {
        SandboxLock? held = null;
        if (_deleting)
        {
            // An operation that is under way may be committing: it ends first, and no other one begins.
            await InterruptOperationAsync().ConfigureAwait(false);

            // The end of the sandbox gives its lock back; what is deleted must stay ours.
            held = Interlocked.Exchange(ref _lock, null);
            await Task.Run(() => MarkDeleting(held), CancellationToken.None).ConfigureAwait(false);
        }

        await DisposeAsync().ConfigureAwait(false);
        if (held is null)
        {
            if (_manifest is null)
            {
                TellDeleted(); // otherwise somebody else is deleting it
            }

            return;
        }

        try
        {
            Fault.Point(FaultPoints.DeleteEnded);
            if (await Task.Run(() => _host.Store.DeleteSandbox(held), CancellationToken.None).ConfigureAwait(false) is IOException left)
            {
                VmmLog.SweepFailed(_host.Logger, Id, left);
            }
        }
        catch (StateNotFoundException)
        {
            // Somebody else's hand was quicker.
            return;
        }
        catch (IOException failure)
        {
            throw new SandboxSnapshotException(Id, $"sandbox {Id} cannot be deleted", [failure.Message], failure);
        }
        finally
        {
            held.Dispose();
        }

        TellDeleted();
        _host.SweepSoon();
    }
}
