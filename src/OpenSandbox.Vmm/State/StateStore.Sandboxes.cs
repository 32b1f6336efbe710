using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.State;

internal sealed partial class StateStore
{
    /// <summary>Makes a sandbox: it exists with its first manifest, and owned by the caller, or not at all.</summary>
    /// <param name="lease">A lease, because its layers are named by nothing else yet.</param>
    /// <param name="manifest">Its manifest, with generation 0.</param>
    /// <returns>Its lock, and the manifest as committed, with generation 1.</returns>
    /// <exception cref="StateConflictException">There is one with this id.</exception>
    /// <exception cref="ArgumentException">The manifest is wrong.</exception>
    /// <exception cref="IOException">It could not be made.</exception>
    internal (SandboxLock Lock, SandboxManifest Manifest) CreateSandbox(StateLease lease, SandboxManifest manifest)
    {
        lease.Demand(this);
        ArgumentOutOfRangeException.ThrowIfNotEqual(manifest.Generation, 0, nameof(manifest));
        manifest = manifest with { Generation = 1 };
        string final = Layout.Sandbox(manifest.Id);
        byte[] content = Encode(manifest, final);
        RequireNewReferences(null, manifest);
        string staging = DurableFile.TemporaryName(final);
        FileLock? held = null;
        try
        {
            Directory.CreateDirectory(staging, StateFiles.DirectoryMode);
            held = FileLock.TryAcquire(Path.Combine(staging, StateLayout.LockName))
                ?? throw new StateConflictException(staging, "somebody else has locked it");
            Fault.Point(FaultPoints.SandboxStaged);
            DurableFile.Replace(Path.Combine(staging, StateLayout.ManifestName), content);
            StateFiles.Publish(staging, final);
        }
        catch (Exception failure)
        {
            held?.Dispose();
            if (failure is not StateUncertainException)
            {
                StateFiles.RemoveTree(staging);
            }

            throw;
        }

        var owner = new SandboxLock(this, manifest.Id, held);
        try
        {
            Fault.Point(FaultPoints.SandboxCreated);
        }
        catch
        {
            owner.Dispose();
            throw;
        }

        return (owner, manifest);
    }

    /// <summary>Takes ownership of a sandbox, if nobody has it.</summary>
    /// <returns>The lock, or <see langword="null"/> if another holder has it.</returns>
    /// <exception cref="StateNotFoundException">There is no such sandbox.</exception>
    internal SandboxLock? TryLockSandbox(string id)
    {
        string path = Layout.SandboxLock(id);
        while (true)
        {
            FileLock? held;
            try
            {
                held = FileLock.TryAcquire(path);
            }
            catch (IOException missing) when (missing.HResult == Errno.ENOENT)
            {
                throw new StateNotFoundException(Layout.Sandbox(id), "sandbox");
            }

            if (held is null)
            {
                return null;
            }

            if (StillNamed(held, path))
            {
                return new SandboxLock(this, id, held);
            }
        }
    }

    /// <summary>
    /// Removes what a commit that was interrupted has left beside the manifest. The sweeper cannot while the sandbox is somebody's, because a
    /// commit might be under way: whoever takes it over does it.
    /// </summary>
    /// <returns>What kept them from being removed, which the sweeper does when nobody owns the sandbox; nothing: none is left.</returns>
    internal IOException? RemoveLeftovers(SandboxLock held)
    {
        held.Demand(this);
        try
        {
            foreach (string path in Directory.EnumerateFiles(Layout.Sandbox(held.SandboxId), $"*{DurableFile.TemporaryEnding}"))
            {
                File.Delete(path);
            }

            return null;
        }
        catch (IOException failure)
        {
            return failure;
        }
    }

    /// <summary>Takes ownership of a sandbox, waiting for whoever has it.</summary>
    /// <param name="id">Its id.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="StateNotFoundException">There is no such sandbox, or no longer.</exception>
    internal async Task<SandboxLock> LockSandboxAsync(string id, CancellationToken cancellationToken)
    {
        string path = Layout.SandboxLock(id);
        while (true)
        {
            FileLock held;
            try
            {
                held = await FileLock.AcquireAsync(path, shared: false, cancellationToken).ConfigureAwait(false);
            }
            catch (IOException missing) when (missing.HResult == Errno.ENOENT)
            {
                throw new StateNotFoundException(Layout.Sandbox(id), "sandbox");
            }

            if (StillNamed(held, path))
            {
                return new SandboxLock(this, id, held);
            }
        }
    }

    /// <summary>Whether there is a sandbox with this id, damaged or not.</summary>
    internal bool SandboxExists(string id) => Directory.Exists(Layout.Sandbox(id));

    /// <summary>Reads a sandbox's manifest. Only with its lock does it stay as read.</summary>
    /// <exception cref="StateNotFoundException">There is no such sandbox.</exception>
    /// <exception cref="StateFileException">Its manifest is damaged.</exception>
    internal SandboxManifest LoadSandbox(string id)
    {
        if (TryLoadSandbox(id, out _) is SandboxManifest manifest)
        {
            return manifest;
        }

        throw SandboxExists(id)
            ? new StateFileException(
                Layout.SandboxManifest(id), "it is missing", "Restore it from a backup, or delete the sandbox if it can be given up")
            : new StateNotFoundException(Layout.Sandbox(id), "sandbox");
    }

    /// <summary>Replaces a sandbox's manifest: the point at which a change of it happens.</summary>
    /// <param name="held">Its lock.</param>
    /// <param name="manifest">The new manifest, made from the one on disk: with that one's generation.</param>
    /// <returns>The manifest as committed, with the next generation. It is durable.</returns>
    /// <exception cref="StateConflictException">The manifest on disk has another generation; or a file that the new one names is missing.</exception>
    /// <exception cref="StateFileException">The manifest on disk is damaged; it is left as it is.</exception>
    /// <exception cref="ArgumentException">The new manifest is wrong.</exception>
    /// <exception cref="StateUncertainException">The new manifest is in force but not durable: see there.</exception>
    /// <exception cref="IOException">It could not be committed; the old manifest is in force.</exception>
    internal SandboxManifest CommitSandbox(SandboxLock held, SandboxManifest manifest)
    {
        lock (held.Gate)
        {
            held.Demand(this);
            if (manifest.Id != held.SandboxId)
            {
                throw new ArgumentException($"the lock is of sandbox {held.SandboxId}, the manifest of {manifest.Id}", nameof(manifest));
            }

            string path = Layout.SandboxManifest(manifest.Id);
            SandboxManifest current = TryLoadSandbox(manifest.Id, out byte[] before) ?? throw new StateNotFoundException(path, "sandbox");
            if (current.Generation != manifest.Generation)
            {
                throw new StateConflictException(
                    path, $"generation {manifest.Generation} was to be replaced, but generation {current.Generation} is on disk");
            }

            manifest = manifest with { Generation = current.Generation + 1 };
            byte[] content = Encode(manifest, path);
            RequireNewReferences(current, manifest);
            Fault.Point(FaultPoints.SandboxCommit);
            DurableFile.ReplaceOrUndo(path, content, before);
            Fault.Point(FaultPoints.SandboxCommitted);
            return manifest;
        }
    }

    /// <summary>
    /// Deletes a sandbox whose VM is gone, and the snapshot that it sleeps in. Checkpoints of it stay. Its layers are left to the sweeper,
    /// because snapshots may name them too.
    /// </summary>
    /// <param name="held">Its lock; it remains the caller's to dispose.</param>
    /// <returns>What kept the rest of its files from being removed, which the sweeper does then; <see langword="null"/>: nothing is left.</returns>
    /// <exception cref="StateNotFoundException">It is gone already.</exception>
    /// <exception cref="IOException">It could not be deleted and is still there.</exception>
    internal IOException? DeleteSandbox(SandboxLock held)
    {
        lock (held.Gate)
        {
            held.Demand(this);
            string? snapshot = null;
            try
            {
                snapshot = TryLoadSandbox(held.SandboxId, out _)?.SnapshotId;
            }
            catch (StateFileException)
            {
                // A damaged one can be deleted too; what it named is the sweeper's then.
            }

            IOException? left = StateFiles.Remove(Layout.Sandbox(held.SandboxId), "sandbox");
            Fault.Point(FaultPoints.SandboxDeleted);
            try
            {
                if (snapshot is not null && Directory.Exists(Layout.Snapshot(snapshot)))
                {
                    left = StateFiles.Remove(Layout.Snapshot(snapshot), "snapshot") ?? left;
                }
            }
            catch (IOException failure)
            {
                left = failure; // nothing names it any more
            }

            return left;
        }
    }

    /// <summary>All sandboxes. Without their locks they may change meanwhile.</summary>
    /// <exception cref="IOException">The directory itself cannot be read.</exception>
    internal StateListing<SandboxManifest> ListSandboxes() =>
        List(Layout.Sandboxes, StateIds.IsSandbox, id => TryLoadSandbox(id, out _));

    private SandboxManifest? TryLoadSandbox(string id, out byte[] bytes)
    {
        string path = Layout.SandboxManifest(id);
        SandboxManifest? manifest = ManifestFile.TryRead<SandboxManifest>(path, out bytes);
        if (manifest is not null)
        {
            RequireId(path, id, manifest.Id);
        }

        return manifest;
    }

    /// <summary>What a manifest names for the first time must be there: nothing would bring it back later.</summary>
    private void RequireNewReferences(SandboxManifest? current, SandboxManifest manifest)
    {
        string path = Layout.SandboxManifest(manifest.Id);
        var known = current?.Disks.All().SelectMany(static chain => chain.Layers).Where(static layer => layer.File is not null)
            .Select(static layer => layer.Id).ToHashSet(StringComparer.Ordinal) ?? [];
        RequireLayers(path, manifest.Disks.All().SelectMany(static chain => chain.Layers)
            .Where(layer => layer.File is not null && !known.Contains(layer.Id)));
        if (manifest.SnapshotId is string id && id != current?.SnapshotId)
        {
            SnapshotManifest snapshot = TryLoadSnapshot(id)
                ?? throw new StateConflictException(path, $"it was to name snapshot {id}, which is not there");
            if (snapshot.Kind != SnapshotKind.Hibernation || snapshot.SandboxId != manifest.Id)
            {
                throw new StateConflictException(path, $"it was to name {id}, which is not a hibernation snapshot of this sandbox");
            }
        }
    }

    private void RequireLayers(string path, IEnumerable<LayerRef> layers)
    {
        foreach (LayerRef layer in layers)
        {
            string file = Layout.Layer(layer.Id);
            if (Libc.Statx(file, out StatxBuffer status) != 0 || (status.Mode & Libc.S_IFMT) != Libc.S_IFREG)
            {
                throw new StateConflictException(path, $"it was to name layer {layer.Id}, and there is no file {file}");
            }

            if ((long)status.Size != layer.File!.Bytes)
            {
                throw new StateConflictException(
                    path, $"it was to name layer {layer.Id} with {layer.File.Bytes} bytes, and {file} has {status.Size}");
            }
        }
    }

    /// <summary>Whether a locked file is still the one at its path, and not that of a sandbox which was deleted meanwhile.</summary>
    private static bool StillNamed(FileLock held, string path)
    {
        if (Libc.Statx(held.File, out StatxBuffer locked) != 0)
        {
            IOException failure = Errno.LastError($"statx {path}");
            held.Dispose();
            throw failure;
        }

        if (Libc.Statx(path, out StatxBuffer named) == 0 && named.Inode == locked.Inode
            && named.DeviceMajor == locked.DeviceMajor && named.DeviceMinor == locked.DeviceMinor)
        {
            return true;
        }

        held.Dispose();
        return false;
    }
}
