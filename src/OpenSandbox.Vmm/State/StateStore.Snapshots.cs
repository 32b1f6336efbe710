using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.State;

internal sealed partial class StateStore
{
    /// <summary>Begins a snapshot: a directory for its files, which is nothing until <see cref="SnapshotStaging.Publish"/>.</summary>
    /// <param name="lease">A lease; it must be held until a manifest names the snapshot.</param>
    /// <exception cref="IOException">It could not be made.</exception>
    internal SnapshotStaging StageSnapshot(StateLease lease)
    {
        lease.Demand(this);
        string id = StateIds.NewSnapshot();
        string directory = DurableFile.TemporaryName(Layout.Snapshot(id));
        Directory.CreateDirectory(directory, StateFiles.DirectoryMode);
        var staging = new SnapshotStaging(this, lease, id, directory);
        try
        {
            Fault.Point(FaultPoints.SnapshotStaged);
            return staging;
        }
        catch
        {
            staging.Dispose();
            throw;
        }
    }

    /// <summary>Reads a snapshot's manifest.</summary>
    /// <exception cref="StateNotFoundException">There is no such snapshot.</exception>
    /// <exception cref="StateFileException">Its manifest is damaged.</exception>
    internal SnapshotManifest LoadSnapshot(string id) => TryLoadSnapshot(id)
        ?? throw (Directory.Exists(Layout.Snapshot(id))
            ? new StateFileException(
                Layout.SnapshotManifest(id), "it is missing", "Restore it from a backup, or delete the snapshot if it can be given up")
            : new StateNotFoundException(Layout.Snapshot(id), "snapshot"));

    /// <summary>All snapshots of both kinds.</summary>
    /// <exception cref="IOException">The directory itself cannot be read.</exception>
    internal StateListing<SnapshotManifest> ListSnapshots() => List(Layout.Snapshots, StateIds.IsSnapshot, TryLoadSnapshot);

    /// <summary>Opens a file of a snapshot for reading, after checking that it is what was saved.</summary>
    /// <param name="snapshotId">The snapshot.</param>
    /// <param name="expected">The file, as the snapshot's manifest has it.</param>
    /// <param name="cancellationToken">Ends the comparison of content, which only a file that was touched needs.</param>
    /// <returns>The file, and its description to be written to the manifest where it differs.</returns>
    /// <exception cref="StateFileException">It is missing or not what was saved.</exception>
    internal (SafeFileHandle File, SavedFile Description) OpenSnapshotFile(
        string snapshotId, SavedFile expected, CancellationToken cancellationToken)
    {
        expected.Validate("file");
        string path = Path.Combine(Layout.Snapshot(snapshotId), expected.Name);
        SafeFileHandle file = StateFiles.TryOpen(path, Libc.O_RDONLY) ?? throw new StateNotFoundException(path, "such file of the snapshot");
        try
        {
            return (file, SavedFiles.Verify(file, expected, path, DigestMethod.Plain, cancellationToken));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Opens a file of a snapshot for reading, for a caller that compares its content with the manifest while it uses it.</summary>
    /// <param name="snapshotId">The snapshot.</param>
    /// <param name="expected">The file, as the snapshot's manifest has it.</param>
    /// <exception cref="StateFileException">It is missing, or not a file that this library made.</exception>
    internal SafeFileHandle OpenSnapshotFileUnchecked(string snapshotId, SavedFile expected)
    {
        expected.Validate("file");
        string path = Path.Combine(Layout.Snapshot(snapshotId), expected.Name);
        return StateFiles.TryOpen(path, Libc.O_RDONLY) ?? throw new StateNotFoundException(path, "such file of the snapshot");
    }

    /// <summary>
    /// Changes what may change of a snapshot: name, whether it is retained, digests and stamps of its files. Everything else is for ever.
    /// </summary>
    /// <param name="id">The snapshot.</param>
    /// <param name="change">Makes the new manifest from the present one; called once, under a lock.</param>
    /// <returns>The new manifest. It is durable.</returns>
    /// <exception cref="StateNotFoundException">There is no such snapshot, or no longer.</exception>
    /// <exception cref="ArgumentException">The change is of something else, or the new manifest is wrong.</exception>
    /// <exception cref="IOException">It could not be written; the old manifest is in force.</exception>
    internal SnapshotManifest AmendSnapshot(string id, Func<SnapshotManifest, SnapshotManifest> change)
    {
        string directory = Layout.Snapshot(id);
        string path = Layout.SnapshotManifest(id);
        using SafeFileHandle locked = LockDirectory(directory);
        SnapshotManifest current = ManifestFile.TryRead<SnapshotManifest>(path, out byte[] before)
            ?? throw new StateNotFoundException(directory, "snapshot");
        RequireId(path, id, current.Id);
        SnapshotManifest next = change(current);
        if (!SnapshotRules.IsAmendment(current, next))
        {
            throw new ArgumentException(
                $"snapshot {id}: only its name, whether it is retained, and digests and stamps of its files may change", nameof(change));
        }

        DurableFile.ReplaceOrUndo(path, Encode(next, path), before);
        return next;
    }

    /// <summary>Deletes a snapshot. Its layers are left to the sweeper, because others may name them too.</summary>
    /// <returns>What kept the rest of its files from being removed, which the sweeper does then; <see langword="null"/>: nothing is left.</returns>
    /// <exception cref="StateNotFoundException">There is no such snapshot.</exception>
    /// <exception cref="StateConflictException">A sandbox sleeps in it.</exception>
    /// <exception cref="IOException">It could not be deleted and is still there.</exception>
    internal IOException? DeleteSnapshot(string id)
    {
        string path = Layout.Snapshot(id);
        SnapshotManifest? manifest = null;
        try
        {
            manifest = TryLoadSnapshot(id);
        }
        catch (StateFileException)
        {
            // A damaged one can be deleted too: that is what its message says.
        }

        if (manifest is { Kind: SnapshotKind.Hibernation } && TryLoadSandbox(manifest.SandboxId, out _) is SandboxManifest sandbox && sandbox.SnapshotId == id)
        {
            throw new StateConflictException(path, $"sandbox {sandbox.Id} sleeps in this snapshot: delete or wake that first");
        }

        return StateFiles.Remove(path, "snapshot");
    }

    internal SnapshotManifest? TryLoadSnapshot(string id)
    {
        string path = Layout.SnapshotManifest(id);
        SnapshotManifest? manifest = ManifestFile.TryRead<SnapshotManifest>(path, out _);
        if (manifest is not null)
        {
            RequireId(path, id, manifest.Id);
        }

        return manifest;
    }

    /// <summary>Publishes what <see cref="SnapshotStaging"/> has collected.</summary>
    internal void PublishSnapshot(string staging, SnapshotManifest manifest)
    {
        string final = Layout.Snapshot(manifest.Id);
        byte[] content = Encode(manifest, final);
        RequireLayers(final, manifest.Disks.All().SelectMany(static chain => chain.Layers));
        if (manifest.Memory is SnapshotMemory memory)
        {
            SyncSaved(staging, memory.DeviceState);
            SyncSaved(staging, memory.Memory);
        }

        Fault.Point(FaultPoints.SnapshotSynced);
        DurableFile.Replace(Path.Combine(staging, StateLayout.ManifestName), content);
        Fault.Point(FaultPoints.SnapshotDescribed);
        StateFiles.Publish(staging, final);
        Fault.Point(FaultPoints.SnapshotPublished);
    }

    private static void SyncSaved(string directory, SavedFile saved)
    {
        string path = Path.Combine(directory, saved.Name);
        using SafeFileHandle file = StateFiles.TryOpen(path, Libc.O_RDONLY) ?? throw new StateNotFoundException(path, "such file of the snapshot");
        DurableFile.Sync(file, path);
        if (SavedFiles.Describe(file, saved.Name).Stamp != saved.Stamp)
        {
            throw new StateConflictException(path, "it was changed after it was described");
        }
    }

    private static SafeFileHandle LockDirectory(string path)
    {
        SafeFileHandle directory = Libc.Open(path, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_NOFOLLOW | Libc.O_CLOEXEC, 0);
        if (directory.IsInvalid)
        {
            throw System.Runtime.InteropServices.Marshal.GetLastPInvokeError() == Errno.ENOENT
                ? new StateNotFoundException(path, "snapshot")
                : Errno.LastError($"open directory {path}");
        }

        // Held for one small write by whoever has it.
        while (Libc.FLock(directory, Libc.LOCK_EX) != 0)
        {
            int errno = System.Runtime.InteropServices.Marshal.GetLastPInvokeError();
            if (errno != Errno.EINTR)
            {
                directory.Dispose();
                throw new IOException($"flock {path}: {Errno.Describe(errno)}", errno);
            }
        }

        return directory;
    }
}
