using OpenSandbox.Interop;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.State;

/// <summary>
/// Removes what no manifest names: first all manifests are read, then everything else goes. It works alone in a state directory, and where a
/// manifest cannot be read, whatever that one might name stays.
/// </summary>
internal sealed class StateSweeper
{
    private readonly StateStore _store;
    private readonly List<SweepEntry> _removed = [];
    private readonly List<SweepEntry> _kept = [];
    private bool? _durable;
    private bool _dryRun;

    private StateSweeper(StateStore store) => _store = store;

    /// <summary>Sweeps, unless an operation is under way in some process.</summary>
    /// <returns>What was done, or <see langword="null"/> if an operation is under way: what it makes nothing names yet.</returns>
    /// <exception cref="IOException">The directories themselves cannot be read.</exception>
    internal static SweepReport? TrySweep(StateStore store, SweepOptions? options = null)
    {
        using StateLease? alone = store.TryEnterExclusive();
        return alone is null ? null : Sweep(store, alone, options);
    }

    /// <summary>Waits until no operation is under way in any process, and sweeps.</summary>
    /// <param name="store">Where.</param>
    /// <param name="options">What. Default: see there.</param>
    /// <param name="cancellationToken">Gives up the wait. A sweep that has begun is finished.</param>
    /// <exception cref="IOException">The directories themselves cannot be read.</exception>
    internal static async Task<SweepReport> SweepAsync(StateStore store, SweepOptions? options, CancellationToken cancellationToken)
    {
        using StateLease alone = await store.EnterExclusiveAsync(cancellationToken).ConfigureAwait(false);
        return await Task.Run(() => Sweep(store, alone, options), CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>Sweeps under an exclusive lease that the caller has.</summary>
    internal static SweepReport Sweep(StateStore store, StateLease alone, SweepOptions? options)
    {
        alone.Demand(store);
        if (!alone.IsExclusive)
        {
            throw new ArgumentException("sweeping needs the exclusive lease", nameof(alone));
        }

        return new StateSweeper(store).Run(options ?? new SweepOptions());
    }

    /// <summary>Which images disks are built on. Hold a lease from the question to what follows from the answer.</summary>
    /// <param name="store">Where.</param>
    /// <param name="lease">An exclusive lease: with a shared one, a sandbox may come to use an image at the same time.</param>
    /// <exception cref="IOException">The directories themselves cannot be read.</exception>
    internal static ImageUse ImagesInUse(StateStore store, StateLease lease)
    {
        lease.Demand(store);
        StateMarks marks = StateMarks.Read(store);
        return new ImageUse(marks.Images, marks.Damaged);
    }

    /// <summary>Ids of the sandboxes and snapshots that are built on an image.</summary>
    internal static IReadOnlyList<string> UsersOf(StateStore store, StateLease lease, string digest)
    {
        lease.Demand(store);
        StateMarks marks = StateMarks.Read(store);
        return
        [
            .. marks.Sandboxes.Values.Where(sandbox => Uses(sandbox.Disks)).Select(static sandbox => sandbox.Id),
            .. marks.Snapshots.Where(snapshot => snapshot.Kind == SnapshotKind.Checkpoint && Uses(snapshot.Disks)).Select(static snapshot => snapshot.Id),
        ];

        bool Uses(DiskChains disks) => disks.All().Any(chain => chain.ImageDigest == digest);
    }

    private SweepReport Run(SweepOptions options)
    {
        _dryRun = options.DryRun;
        SweepLeftovers();
        var marks = StateMarks.Read(_store);
        if (FinishDeletions(marks))
        {
            marks = ReadWithoutRemoved();
        }

        Fault.Point(FaultPoints.SweepMarked);
        if (SweepSnapshots(marks))
        {
            marks = ReadWithoutRemoved();
        }

        SweepLayers(marks);
        if (options.CurrentGoldenKeys is not null)
        {
            SweepGolden(marks, options.CurrentGoldenKeys);
        }

        if (options.RuntimeDirectory is not null)
        {
            SweepRuntime(marks, options.RuntimeDirectory);
        }

        return new SweepReport { Removed = _removed, Kept = _kept, Damaged = marks.Damaged };
    }

    /// <summary>What the manifests name that are left, or would be.</summary>
    private StateMarks ReadWithoutRemoved() =>
        StateMarks.Read(_store, _dryRun ? _removed.Select(static entry => Path.GetFileName(entry.Path)).ToHashSet(StringComparer.Ordinal) : null);

    /// <summary>
    /// Makes what has been read durable before the first thing goes because of it: a commit whose process was killed between its rename and its
    /// fsync could otherwise be lost with the machine's power after the layers that only the old manifest names.
    /// </summary>
    /// <returns>Whether anything may be removed.</returns>
    private bool AreDurable(StateMarks marks)
    {
        if (_dryRun)
        {
            return true;
        }

        if (_durable is bool known)
        {
            return known;
        }

        try
        {
            foreach (string id in marks.Sandboxes.Keys)
            {
                SyncIfThere(_store.Layout.Sandbox(id));
            }

            foreach (SnapshotManifest snapshot in marks.Snapshots)
            {
                SyncIfThere(_store.Layout.Snapshot(snapshot.Id));
            }

            DurableFile.SyncDirectory(_store.Layout.Sandboxes);
            DurableFile.SyncDirectory(_store.Layout.Snapshots);
            _durable = true;
        }
        catch (IOException failure)
        {
            Keep(SweepKind.Layer, _store.Layout.Layers, $"the manifests cannot be made durable: {failure.Message}");
            _durable = false;
        }

        return _durable.Value;
    }

    private static void SyncIfThere(string directory)
    {
        try
        {
            DurableFile.SyncDirectory(directory);
        }
        catch (IOException gone) when (gone.HResult == Errno.ENOENT)
        {
            // Deleted meanwhile, which keeps what it named until the next sweep.
        }
    }

    private void SweepLeftovers()
    {
        foreach (string directory in (ReadOnlySpan<string>)[_store.Layout.Sandboxes, _store.Layout.Snapshots, _store.Layout.Layers])
        {
            foreach (string path in Directory.EnumerateFileSystemEntries(directory, $"*{DurableFile.TemporaryEnding}"))
            {
                Remove(SweepKind.Leftover, path, "its process ended while it was being made or removed");
            }
        }

        // Temporary files of manifests: a commit needs the sandbox's lock but no lease, so that only those of unowned ones are garbage.
        foreach (string directory in Directory.EnumerateDirectories(_store.Layout.Sandboxes))
        {
            string id = Path.GetFileName(directory);
            if (StateIds.IsSandbox(id) && HasLeftovers(directory))
            {
                using SandboxLock? owner = TryLock(id);
                SweepWithin(directory, owner is not null);
            }
        }

        foreach (string directory in Directory.EnumerateDirectories(_store.Layout.Snapshots))
        {
            if (StateIds.IsSnapshot(Path.GetFileName(directory)) && HasLeftovers(directory))
            {
                using Microsoft.Win32.SafeHandles.SafeFileHandle handle = Libc.Open(directory, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_NOFOLLOW | Libc.O_CLOEXEC, 0);
                SweepWithin(directory, !handle.IsInvalid && Libc.FLock(handle, Libc.LOCK_EX | Libc.LOCK_NB) == 0);
            }
        }
    }

    private static bool HasLeftovers(string directory) => LeftoversIn(directory).Length > 0;

    /// <summary>
    /// Temporary files in a sandbox's or a snapshot's directory. An owner deletes his sandbox without the lease, so that its directory may go
    /// between two looks of a sweep, which then finds nothing in it.
    /// </summary>
    internal static string[] LeftoversIn(string directory)
    {
        try
        {
            return Directory.GetFiles(directory, $"*{DurableFile.TemporaryEnding}");
        }
        catch (DirectoryNotFoundException)
        {
            return [];
        }
    }

    private void SweepWithin(string directory, bool owned)
    {
        foreach (string path in LeftoversIn(directory))
        {
            if (owned)
            {
                Remove(SweepKind.Leftover, path, "its process ended while it was being written");
            }
            else
            {
                Keep(SweepKind.Leftover, path, "it may be being written: its sandbox or snapshot is locked");
            }
        }
    }

    /// <returns>Whether something was deleted.</returns>
    private bool FinishDeletions(StateMarks marks)
    {
        int before = _removed.Count;
        foreach (SandboxManifest sandbox in marks.Sandboxes.Values.Where(static sandbox => sandbox.State == RecordedState.Deleting))
        {
            string path = _store.Layout.Sandbox(sandbox.Id);
            if (sandbox.Vm is not null)
            {
                Keep(SweepKind.Sandbox, path, "it is being deleted, but its VM has to be ended first");
                continue;
            }

            using SandboxLock? owner = TryLock(sandbox.Id);
            if (owner is null)
            {
                Keep(SweepKind.Sandbox, path, "it is being deleted by its owner");
                continue;
            }

            try
            {
                // Read again: only with the lock is it what it says.
                if (_store.LoadSandbox(sandbox.Id) is { State: RecordedState.Deleting, Vm: null })
                {
                    long bytes = SizeOf(path);
                    if (!_dryRun && _store.DeleteSandbox(owner) is IOException left)
                    {
                        Keep(SweepKind.Leftover, path, left.Message);
                    }

                    _removed.Add(new SweepEntry(SweepKind.Sandbox, path, "its deletion was interrupted", bytes));
                }
            }
            catch (IOException failure)
            {
                Keep(SweepKind.Sandbox, path, $"it could not be deleted: {failure.Message}");
            }
        }

        return _removed.Count > before;
    }

    /// <returns>Whether something was removed.</returns>
    private bool SweepSnapshots(StateMarks marks)
    {
        int before = _removed.Count;
        foreach (SnapshotManifest snapshot in marks.Snapshots.Where(static snapshot => snapshot.Kind == SnapshotKind.Hibernation))
        {
            string path = _store.Layout.Snapshot(snapshot.Id);
            if (marks.NamedSnapshots.Contains(snapshot.Id))
            {
                continue;
            }

            if (marks.DamagedSandboxes.Count > 0)
            {
                Keep(SweepKind.Snapshot, path, "no manifest names it, but not every sandbox's manifest can be read");
                continue;
            }

            if (!AreDurable(marks))
            {
                break;
            }

            try
            {
                long bytes = SizeOf(path);
                if (!_dryRun && StateFiles.Remove(path, "snapshot") is IOException left)
                {
                    Keep(SweepKind.Leftover, path, left.Message);
                }

                _removed.Add(new SweepEntry(SweepKind.Snapshot, path, "no sandbox sleeps in it", bytes));
            }
            catch (IOException failure)
            {
                Keep(SweepKind.Snapshot, path, $"it could not be removed: {failure.Message}");
            }
        }

        return _removed.Count > before;
    }

    private void SweepLayers(StateMarks marks)
    {
        foreach (string path in Directory.EnumerateFileSystemEntries(_store.Layout.Layers))
        {
            string name = Path.GetFileName(path);
            string id = name.EndsWith(StateLayout.LayerEnding, StringComparison.Ordinal) ? name[..^StateLayout.LayerEnding.Length] : "";
            if (!StateIds.IsLayer(id))
            {
                Keep(SweepKind.Layer, path, "its name is none that this library gives");
            }
            else if (!marks.Layers.Contains(id))
            {
                if (marks.Damaged.Count > 0)
                {
                    Keep(SweepKind.Layer, path, $"no manifest names it, but {marks.Damaged.Count} cannot be read, {marks.Damaged[0].Path} for instance");
                }
                else if (IsInUse(path))
                {
                    Keep(SweepKind.Layer, path, "no manifest names it, but a running sandbox writes to it or builds on it");
                }
                else if (AreDurable(marks))
                {
                    if (!_dryRun)
                    {
                        Fault.Point(FaultPoints.LayerRemove);
                    }

                    Remove(SweepKind.Layer, path, "no manifest names it");
                }
            }
        }
    }

    /// <summary>Whether a host has the layer open: it holds a shared lock on it as long (<see cref="Disks.DiskLayer"/>).</summary>
    private static bool IsInUse(string path)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = Libc.Open(path, Libc.O_RDONLY | Libc.O_CLOEXEC | Libc.O_NOFOLLOW, 0);
        return !file.IsInvalid && Libc.FLock(file, Libc.LOCK_EX | Libc.LOCK_NB) != 0;
    }

    private void SweepGolden(StateMarks marks, IReadOnlySet<string> current)
    {
        if (!Directory.Exists(_store.Layout.Golden))
        {
            return;
        }

        foreach (string path in Directory.EnumerateDirectories(_store.Layout.Golden))
        {
            string key = Path.GetFileName(path);
            if (!StateIds.IsDigest(key) || current.Contains(key) || marks.GoldenKeys.Contains(key))
            {
                continue;
            }

            if (marks.Damaged.Count > 0)
            {
                Keep(SweepKind.Golden, path, "no snapshot names it, but not every manifest can be read");
                continue;
            }

            using FileLock? held = FileLock.TryAcquire($"{path}.lock");
            if (held is null)
            {
                Keep(SweepKind.Golden, path, "it is being loaded or built");
            }
            else if (AreDurable(marks))
            {
                Remove(SweepKind.Golden, path, "it is not the current one, and no snapshot needs it");
            }
        }
    }

    private void SweepRuntime(StateMarks marks, string directory)
    {
        if (!Directory.Exists(directory))
        {
            return;
        }

        foreach (string path in Directory.EnumerateDirectories(directory))
        {
            string id = Path.GetFileName(path).Split('.')[0];
            if (!StateIds.IsSandbox(id))
            {
                continue; // not of a VM
            }

            if (marks.DamagedSandboxes.Contains(id))
            {
                Keep(SweepKind.Runtime, path, "its sandbox's manifest cannot be read");
                continue;
            }

            if (marks.Sandboxes.TryGetValue(id, out SandboxManifest? sandbox) && (sandbox.Vm is not null || sandbox.Operation is not null))
            {
                continue; // in use, or for whoever finishes the operation
            }

            using SandboxLock? owner = TryLock(id);
            if (owner is null && _store.SandboxExists(id))
            {
                Keep(SweepKind.Runtime, path, "its sandbox is owned by a process");
            }
            else
            {
                Remove(SweepKind.Runtime, path, "its sandbox does not run");
            }
        }
    }

    private SandboxLock? TryLock(string id)
    {
        try
        {
            return _store.TryLockSandbox(id);
        }
        catch (StateNotFoundException)
        {
            return null;
        }
    }

    private void Remove(SweepKind kind, string path, string reason)
    {
        try
        {
            long bytes = SizeOf(path);
            if (_dryRun)
            {
                _removed.Add(new SweepEntry(kind, path, reason, bytes));
                return;
            }

            if (Directory.Exists(path) && new DirectoryInfo(path).LinkTarget is null)
            {
                StateFiles.RemoveTree(path);
            }
            else
            {
                File.Delete(path);
            }

            _removed.Add(new SweepEntry(kind, path, reason, bytes));
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            Keep(kind, path, $"it could not be removed: {failure.Message}");
        }
    }

    private void Keep(SweepKind kind, string path, string reason) => _kept.Add(new SweepEntry(kind, path, reason));

    /// <summary>Bytes that a file or a directory's files take on the disk, as far as they can be told.</summary>
    internal static long SizeOf(string path)
    {
        if (Libc.Statx(path, out StatxBuffer status) != 0)
        {
            return 0;
        }

        return (status.Mode & Libc.S_IFMT) == Libc.S_IFDIR
            ? Directory.EnumerateFileSystemEntries(path).Sum(SizeOf)
            : (long)status.Blocks * 512;
    }
}
