using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>Checkpoints of all sandboxes, whether these still exist or not.</content>
public sealed partial class SandboxHost
{
    private const int MaxForks = 256;

    /// <summary>The checkpoints in the state directory, oldest first.</summary>
    /// <param name="sandboxId">Only those of this sandbox. Default: all.</param>
    /// <returns>A snapshot of the list. Damaged ones are left out, and logged.</returns>
    /// <exception cref="SandboxSnapshotException">The state directory cannot be read.</exception>
    public IReadOnlyList<SandboxCheckpoint> ListCheckpoints(string? sandboxId = null)
    {
        try
        {
            StateListing<SnapshotManifest> listing = Store.ListSnapshots();
            foreach (DamagedEntry damaged in listing.Damaged)
            {
                VmmLog.DamagedState(Logger, damaged.Path, damaged.Problem);
            }

            return
            [
                .. listing.Items
                    .Where(snapshot => snapshot.Kind == SnapshotKind.Checkpoint && (sandboxId is null || snapshot.SandboxId == sandboxId))
                    .OrderBy(static snapshot => snapshot.CreatedAt)
                    .Select(static snapshot => new SandboxCheckpoint(snapshot)),
            ];
        }
        catch (IOException unreadable)
        {
            throw new SandboxSnapshotException(sandboxId, "checkpoints cannot be listed", [unreadable.Message], unreadable);
        }
    }

    /// <summary>Deletes a checkpoint. Sandboxes that were made of it are not disturbed.</summary>
    /// <param name="checkpointId">The checkpoint.</param>
    /// <param name="cancellationToken">Before it begins.</param>
    /// <returns>Whether there was such a checkpoint.</returns>
    /// <exception cref="SandboxSnapshotException">It could not be deleted; it is still there.</exception>
    public async Task<bool> DeleteCheckpointAsync(string checkpointId, CancellationToken cancellationToken = default)
    {
        ValidateCheckpointId(checkpointId);
        using StateLease lease = await Store.EnterAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (Store.TryLoadSnapshot(checkpointId) is { Kind: not SnapshotKind.Checkpoint })
            {
                return false;
            }

            IOException? left = await Task.Run(() => Store.DeleteSnapshot(checkpointId), CancellationToken.None).ConfigureAwait(false);
            if (left is not null)
            {
                VmmLog.SweepFailed(Logger, checkpointId, left);
            }

            return true;
        }
        catch (StateNotFoundException)
        {
            return false;
        }
        catch (IOException failure)
        {
            throw new SandboxSnapshotException(null, $"checkpoint {checkpointId} cannot be deleted", [failure.Message], failure);
        }
    }

    /// <summary>Makes sandboxes that go on from a checkpoint, side by side. All of them, or none.</summary>
    /// <param name="checkpointId">The checkpoint.</param>
    /// <param name="count">How many, 1 to 256. Default: 1.</param>
    /// <param name="options">In what they differ from the sandbox of the checkpoint. Default: see <see cref="ForkOptions"/>.</param>
    /// <param name="cancellationToken">Ends those that have been made.</param>
    /// <returns>
    /// The sandboxes; dispose them. Where the checkpoint's memory cannot be used (another QEMU, CPU or golden snapshot), or it has none, they
    /// have booted from its disks: <see cref="Sandbox.StartedFromMemory"/> says so.
    /// </returns>
    /// <exception cref="SandboxSnapshotException">The checkpoint is missing or its disks are damaged.</exception>
    /// <exception cref="SandboxCapacityException">The host has no room for so many.</exception>
    /// <exception cref="SandboxStartException">One did not come up; all of them have been ended.</exception>
    /// <exception cref="SandboxTimeoutException">One was not ready in time; all of them have been ended.</exception>
    public Task<IReadOnlyList<Sandbox>> ForkAsync(
        string checkpointId, int count = 1, ForkOptions? options = null, CancellationToken cancellationToken = default) =>
        Telemetry.Operation.Fork.RunAsync(null, () => ForkNowAsync(checkpointId, count, options, cancellationToken));

    private async Task<IReadOnlyList<Sandbox>> ForkNowAsync(
        string checkpointId, int count, ForkOptions? options, CancellationToken cancellationToken)
    {
        ValidateCheckpointId(checkpointId);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, MaxForks);
        using StateLease lease = await Store.EnterAsync(cancellationToken).ConfigureAwait(false);
        using SavedSandbox saved = await OpenSavedAsync(checkpointId, null, cancellationToken).ConfigureAwait(false);
        SandboxSpec parent = saved.Manifest.Sandbox.ToSpec();
        SandboxSpec spec = (options ?? ForkOptions.Default).Apply(parent, parent.Egress, Inherit(ExpiryRecord.ToExpiry(saved.Manifest.Expiry)));
        spec.Validate(Options);
        return await AllOrNoneAsync(
            count,
            (id, token) => StartSavedAsync(id, spec, saved, renewIdentity: true, WakeOptions.Default, NewLayersFor(spec, lease), token),
            spec,
            new SandboxEventDetails { CheckpointId = checkpointId, ParentId = saved.Manifest.SandboxId },
            lease,
            cancellationToken).ConfigureAwait(false);
    }

    internal static void ValidateCheckpointId(string checkpointId)
    {
        ArgumentException.ThrowIfNullOrEmpty(checkpointId);
        if (!StateIds.IsSnapshot(checkpointId))
        {
            throw new ArgumentException($"checkpoint id '{checkpointId}': sn- and 16 hexadecimal digits", nameof(checkpointId));
        }
    }

    /// <summary>Deletes the oldest checkpoints of a sandbox beyond a number. What cannot be deleted is logged and tried again next time.</summary>
    internal void RetainCheckpoints(string sandboxId, int? keepLast, string newest)
    {
        if (keepLast is not int keep)
        {
            return;
        }

        foreach (SnapshotManifest old in CheckpointRetention.KeepLast(
            [.. Store.ListSnapshots().Items.Where(snapshot => snapshot.SandboxId == sandboxId && snapshot.Kind == SnapshotKind.Checkpoint)], keep))
        {
            if (old.Id != newest)
            {
                DeleteReplaced(old.Id);
            }
        }
    }
}
