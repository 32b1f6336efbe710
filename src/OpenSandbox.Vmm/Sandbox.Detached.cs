using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>What is on disk of a sandbox that outlives this process.</content>
public sealed partial class Sandbox
{
    private readonly Lock _recordGate = new();
    private SandboxExit? _crash; // why a detached one's VM is gone
    private volatile bool _deleting;

    private bool IsDetached => Spec.Lifetime == SandboxLifetime.Detached;

    /// <summary>A sandbox that was found on disk, before anybody sees it.</summary>
    /// <param name="state">Hibernated or crashed.</param>
    /// <param name="why">Why its VM is gone, if it crashed.</param>
    internal void Lie(SandboxState state, string? why)
    {
        _crash = state == SandboxState.Crashed
            ? new SandboxExit(SandboxExitReason.VmmEnded, why ?? "its VM ended while no host was there")
            : null;
        Volatile.Write(ref _state, (int)state);
    }

    /// <summary>Replaces the manifest of a sandbox that has one. Blocks on the disk.</summary>
    /// <exception cref="IOException">It could not be committed.</exception>
    private void Record(Func<SandboxManifest, SandboxManifest> change)
    {
        lock (_recordGate)
        {
            if (_lock is SandboxLock held && _manifest is SandboxManifest manifest)
            {
                _manifest = _host.Store.CommitSandbox(held, change(manifest));
            }
        }
    }

    /// <summary>Limits or policy have been changed: writes them down, if the sandbox outlives this process.</summary>
    private void RecordChanges()
    {
        if (!IsDetached || Volatile.Read(ref _run) is not SandboxRun run || Volatile.Read(ref _closing) != 0)
        {
            return;
        }

        try
        {
            Record(manifest => manifest with { Sandbox = SandboxRecord.From(Spec, LimitsRecord.From(run.Resizer.Limits), Network.Policy) });
        }
        catch (IOException failure)
        {
            VmmLog.RecordFailed(_host.Logger, Id, failure);
        }
    }

    /// <summary>
    /// Writes down that there is no VM any more, nor an operation on it. What its disks consist of stays as it was, pending layers included:
    /// the next boot takes them along, empty or not.
    /// </summary>
    private void RecordCrash()
    {
        try
        {
            Record(static manifest => manifest with { Vm = null, Operation = null });
        }
        catch (IOException failure)
        {
            // The next host finds out by itself: the processes that the manifest names are gone.
            VmmLog.RecordFailed(_host.Logger, Id, failure);
        }
    }

    /// <summary>Writes down that the sandbox is being deleted, so that the next host finishes it.</summary>
    private void MarkDeleting(SandboxLock? held)
    {
        if (held is null)
        {
            return;
        }

        try
        {
            lock (_recordGate)
            {
                if (_manifest is SandboxManifest manifest)
                {
                    _manifest = _host.Store.CommitSandbox(held, manifest with { State = RecordedState.Deleting });
                }
            }

            Fault.Point(FaultPoints.DeleteMarked);
        }
        catch (IOException failure)
        {
            // Deleting goes on; only a crash before its end would leave the sandbox as it was.
            VmmLog.RecordFailed(_host.Logger, Id, failure);
        }
    }

    /// <summary>Makes the manifest say that a machine is the sandbox's now.</summary>
    private async Task RecordRunAsync(SandboxRun run, SandboxLimits limits, StateLease lease, CancellationToken cancellationToken)
    {
        if (!IsDetached || _manifest is null)
        {
            return;
        }

        Touch(); // from here on it can be idle again
        SandboxManifest next = await _host.DescribeRunningAsync(_manifest, run, lease, cancellationToken).ConfigureAwait(false);
        await Task.Run(
            () => Record(manifest => next with
            {
                Generation = manifest.Generation,
                Sandbox = SandboxRecord.From(Spec, LimitsRecord.From(limits), Network.Policy),
                Expiry = DescribeExpiry(asleep: true),
            }),
            CancellationToken.None).ConfigureAwait(false);
    }
}
