using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <summary>
/// Looks at what a state directory has of sandboxes and checkpoints, without starting a host: nothing is adopted, and no golden snapshot is
/// loaded. Sandboxes that are attached to a host and have never been hibernated are not in it.
/// </summary>
/// <remarks>Thread-safe. Calls read files, and block meanwhile.</remarks>
public sealed class SandboxRecords
{
    private readonly string _directory;
    private readonly Lazy<StateStore> _store;

    private readonly ILogger _logger;

    private SandboxRecords(string directory, ILogger logger)
    {
        _logger = logger;
        _directory = Path.Combine(directory, "sandboxes");
        _store = new Lazy<StateStore>(() => StateStore.Open(directory));
    }

    /// <summary>Opens the records of a state directory.</summary>
    /// <param name="options">Of which only the state directory counts.</param>
    /// <param name="logger">Default: none.</param>
    /// <returns>The records. A directory that does not exist has none, and is not made by looking.</returns>
    public static SandboxRecords Open(SandboxHostOptions options, ILogger? logger = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new SandboxRecords(Path.GetFullPath(options.StateDirectory), logger ?? NullLogger.Instance);
    }

    /// <summary>All sandboxes, by their ids.</summary>
    /// <param name="problems">Gets one sentence for each that cannot be read. Default: nobody.</param>
    /// <returns>A snapshot of what is there.</returns>
    /// <exception cref="SandboxSnapshotException">The state directory cannot be read.</exception>
    public IReadOnlyList<RecordedSandbox> List(Action<string>? problems = null) => Read(() =>
    {
        StateListing<SandboxManifest> listing = _store.Value.ListSandboxes();
        foreach (DamagedEntry damaged in listing.Damaged)
        {
            problems?.Invoke($"{damaged.Path}: {damaged.Problem}");
        }

        return (IReadOnlyList<RecordedSandbox>)[.. listing.Items.Select(Describe)];
    }) ?? [];

    /// <summary>Finds a sandbox.</summary>
    /// <param name="sandboxId">Its id.</param>
    /// <returns>The sandbox, or <see langword="null"/> if there is none.</returns>
    /// <exception cref="SandboxSnapshotException">Its record cannot be read.</exception>
    public RecordedSandbox? Find(string sandboxId) => StateIds.IsSandbox(sandboxId)
        ? Read(() => _store.Value.SandboxExists(sandboxId) ? Describe(_store.Value.LoadSandbox(sandboxId)) : null)
        : null;

    /// <summary>The checkpoints, oldest first.</summary>
    /// <param name="sandboxId">Only those of this sandbox. Default: all.</param>
    /// <param name="problems">Gets one sentence for each that cannot be read. Default: nobody.</param>
    /// <returns>A snapshot of what is there.</returns>
    /// <exception cref="SandboxSnapshotException">The state directory cannot be read.</exception>
    public IReadOnlyList<SandboxCheckpoint> ListCheckpoints(string? sandboxId = null, Action<string>? problems = null) => Read(() =>
    {
        StateListing<SnapshotManifest> listing = _store.Value.ListSnapshots();
        foreach (DamagedEntry damaged in listing.Damaged)
        {
            problems?.Invoke($"{damaged.Path}: {damaged.Problem}");
        }

        return (IReadOnlyList<SandboxCheckpoint>)
        [
            .. listing.Items
                .Where(snapshot => snapshot.Kind == SnapshotKind.Checkpoint && (sandboxId is null || snapshot.SandboxId == sandboxId))
                .OrderBy(static snapshot => snapshot.CreatedAt)
                .Select(static snapshot => new SandboxCheckpoint(snapshot)),
        ];
    }) ?? [];

    /// <summary>Deletes a checkpoint. Sandboxes that were made of it are not disturbed.</summary>
    /// <param name="checkpointId">The checkpoint.</param>
    /// <param name="cancellationToken">Before it begins.</param>
    /// <returns>Whether there was such a checkpoint.</returns>
    /// <exception cref="SandboxSnapshotException">It could not be deleted; it is still there.</exception>
    public async Task<bool> DeleteCheckpointAsync(string checkpointId, CancellationToken cancellationToken = default)
    {
        SandboxHost.ValidateCheckpointId(checkpointId);
        if (!Directory.Exists(_directory))
        {
            return false;
        }

        try
        {
            using (StateLease lease = await _store.Value.EnterAsync(cancellationToken).ConfigureAwait(false))
            {
                if (_store.Value.TryLoadSnapshot(checkpointId) is not { Kind: SnapshotKind.Checkpoint })
                {
                    return false;
                }

                await Task.Run(() => _store.Value.DeleteSnapshot(checkpointId), CancellationToken.None).ConfigureAwait(false);
            }

            Sweep();
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

    /// <summary>Deletes a hibernated sandbox that no host has. Its checkpoints stay.</summary>
    /// <param name="sandboxId">The sandbox.</param>
    /// <param name="cancellationToken">Before it begins.</param>
    /// <returns>
    /// Whether it was hibernated, and is gone now. If not, it is not hibernated or not there: what may have a VM is deleted by a host
    /// (<see cref="SandboxHost.OpenAsync"/>, <see cref="Sandbox.DeleteAsync"/>).
    /// </returns>
    /// <exception cref="SandboxConflictException">A host has it.</exception>
    /// <exception cref="SandboxSnapshotException">It could not be deleted; it is still there.</exception>
    public async Task<bool> DeleteHibernatedAsync(string sandboxId, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (!StateIds.IsSandbox(sandboxId) || !Directory.Exists(_directory))
        {
            return false;
        }

        bool deleted = await Task.Run(() => DeleteHibernated(sandboxId), CancellationToken.None).ConfigureAwait(false);
        if (deleted)
        {
            Sweep();
        }

        return deleted;
    }

    private bool DeleteHibernated(string sandboxId)
    {
        try
        {
            using SandboxLock? held = _store.Value.TryLockSandbox(sandboxId);
            if (held is null)
            {
                throw new SandboxConflictException(sandboxId, "deleting it", "the use by another host");
            }

            if (_store.Value.LoadSandbox(sandboxId).State != RecordedState.Hibernated)
            {
                return false;
            }

            // What cannot be removed of it now is swept.
            _ = _store.Value.DeleteSandbox(held);
            return true;
        }
        catch (StateNotFoundException)
        {
            return false;
        }
        catch (IOException failure)
        {
            throw new SandboxSnapshotException(sandboxId, $"sandbox {sandboxId} cannot be deleted", [failure.Message], failure);
        }
    }

    /// <summary>Removes layers that nothing names any more, unless an operation is under way: then the next sweep does.</summary>
    private void Sweep()
    {
        try
        {
            StateSweeper.TrySweep(_store.Value);
        }
        catch (IOException failure)
        {
            // What was to be deleted is deleted; the rest is swept another time.
            VmmLog.SweepFailed(_logger, _store.Value.Layout.Root, failure);
        }
    }

    private static RecordedSandbox Describe(SandboxManifest manifest)
    {
        SandboxState state = manifest.State switch
        {
            RecordedState.Hibernated => SandboxState.Hibernated,
            RecordedState.Deleting => SandboxState.Stopping,
            _ => manifest.Vm is VmRecord vm && IsAlive(vm) ? SandboxState.Running : SandboxState.Crashed,
        };
        return new RecordedSandbox(manifest, state);
    }

    /// <summary>Whether the VM's QEMU runs, as far as a number and a start time tell. Who adopts it looks closer.</summary>
    private static bool IsAlive(VmRecord vm) =>
        vm.BootId == BootId.Current && ProcessFacts.Read(vm.QemuPid) is ProcessFacts { HasEnded: false } facts && facts.StartTicks == vm.QemuStartTicks;

    /// <summary>Whether a host has a sandbox now, so that nobody else can take it over.</summary>
    /// <param name="sandboxId">Its id.</param>
    /// <returns>Whether one has. A host that tries to take it over in this very moment may be told that another one has it.</returns>
    /// <exception cref="SandboxSnapshotException">The state directory cannot be read.</exception>
    public bool IsOwned(string sandboxId)
    {
        if (!StateIds.IsSandbox(sandboxId) || !Directory.Exists(_directory))
        {
            return false;
        }

        try
        {
            using SandboxLock? free = _store.Value.TryLockSandbox(sandboxId);
            return free is null;
        }
        catch (StateNotFoundException)
        {
            return false;
        }
        catch (IOException unreadable)
        {
            throw new SandboxSnapshotException(sandboxId, "the state directory cannot be read", [unreadable.Message], unreadable);
        }
    }

    private T? Read<T>(Func<T?> read)
        where T : class
    {
        if (!Directory.Exists(_directory))
        {
            return null;
        }

        try
        {
            return read();
        }
        catch (StateNotFoundException)
        {
            return null;
        }
        catch (IOException unreadable)
        {
            throw new SandboxSnapshotException(null, "the state directory cannot be read", [unreadable.Message], unreadable);
        }
    }
}
