using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Archives;
using OpenSandbox.Vmm.Compression;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>Sandboxes in archives.</content>
public sealed partial class SandboxHost
{
    /// <summary>For files that are only needed for a while, and have no names.</summary>
    internal string ScratchDirectory => _diskDirectory;

    /// <summary>
    /// Makes a hibernated sandbox of an archive of <see cref="Sandbox.ExportAsync(string, ExportOptions?, CancellationToken)"/>. The images that its
    /// disks began with must be here. All of the archive is checked before any of it is visible, and nothing of one that is refused is left.
    /// </summary>
    /// <param name="path">The archive. Whoever made it decides what the sandbox is; see <see cref="ImportOptions"/> for what to decide here.</param>
    /// <param name="options">Default: see <see cref="ImportOptions"/>.</param>
    /// <param name="cancellationToken">Stops; nothing is left.</param>
    /// <returns>
    /// The sandbox, durable and hibernated. <see cref="Sandbox.WakeAsync"/> brings it back with its memory if this host has the golden snapshot that
    /// it was made with; else it boots from its disks, and says why.
    /// </returns>
    /// <remarks>Holds about 5 MiB. The archive's content needs room in the state directory, without its holes.</remarks>
    /// <exception cref="SandboxSnapshotException">
    /// The archive cannot be read, is damaged, cut short, or not accepted; or its memory cannot be used and
    /// <see cref="ImportOptions.RequireMemory"/> is set.
    /// </exception>
    /// <exception cref="SandboxImageException">An image is not here; says which, and how to get it.</exception>
    /// <exception cref="SandboxOperationException">There is a sandbox with that id, or the disk is full.</exception>
    public async Task<Sandbox> ImportAsync(string path, ImportOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        FileStream file;
        try
        {
            file = new FileStream(path, new FileStreamOptions { BufferSize = 0, Options = FileOptions.SequentialScan });
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new SandboxSnapshotException(null, $"the archive {path} cannot be read", [unreadable.Message], unreadable);
        }

        await using (file.ConfigureAwait(false))
        {
            return await ImportAsync(file, options, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>As the other, from any stream, front to back.</summary>
    /// <param name="source">Stays the caller's. How long it may take is the caller's to say, by the token.</param>
    /// <param name="options">Default: see <see cref="ImportOptions"/>.</param>
    /// <param name="cancellationToken">Stops; nothing is left.</param>
    /// <inheritdoc cref="ImportAsync(string, ImportOptions?, CancellationToken)"/>
    public async Task<Sandbox> ImportAsync(Stream source, ImportOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(source);
        options ??= ImportOptions.Default;
        options.Validate();
        cancellationToken.ThrowIfCancellationRequested();
        BeginImport();
        string? reserved = null;
        bool made = false;
        try
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _closing.Token);
            long started = Options.TimeProvider.GetTimestamp();
            var limits = new ArchiveLimits
            {
                ManifestBytes = ManifestFile.MaxBytes,
                EntryBytes = options.MaxBytes,
                TotalBytes = options.MaxBytes,
                Entries = 4,
            };
            using ArchiveReader reader = await ArchiveReader
                .OpenAsync(ProgressStream.Over(source, options.Progress), limits, either.Token).ConfigureAwait(false);
            ArchiveManifest manifest = ManifestFile.Decode<ArchiveManifest>(reader.Manifest.Span);
            (SandboxSpec spec, LimitsRecord force) = Adjust(manifest, options);
            RequireImages(manifest);
            if (options.RequireMemory)
            {
                await RequireGoldenAsync(manifest, either.Token).ConfigureAwait(false);
            }

            reserved = ReserveSaved(options.KeepId ? manifest.SandboxId : null);
            using ImportedFiles files = await ImportedFiles
                .ReadAsync(reader, manifest, options.Kind == CheckpointKind.Full, Store.Layout, either.Token).ConfigureAwait(false);
            Fault.Point(FaultPoints.ImportChecked);
            (SandboxLock Lock, SandboxManifest Manifest) committed;
            using (StateLease lease = await Store.EnterAsync(either.Token).ConfigureAwait(false))
            {
                string id = reserved;
                committed = await Task.Run(
                    () => Commit(id, manifest, SandboxRecord.From(spec, force), files, lease, renewIdentity: !options.KeepId),
                    CancellationToken.None).ConfigureAwait(false);
            }

            Sandbox sandbox = await TakeImportedAsync(committed, spec).ConfigureAwait(false);
            made = true;
            VmmLog.SandboxImported(
                Logger, reserved, files.Summary.Bytes, (long)Options.TimeProvider.GetElapsedTime(started).TotalMilliseconds);
            return sandbox;
        }
        catch (Exception failure) when (failure is not SandboxException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_closing.IsCancellationRequested, this);
            throw Explain(failure, reserved);
        }
        finally
        {
            EndImport(made ? null : reserved);
        }
    }

    /// <summary>Opens a hibernated sandbox, to be written into an archive.</summary>
    internal async Task<ExportSource> OpenForExportAsync(
        SandboxManifest sandbox, string snapshotId, bool memory, CancellationToken cancellationToken)
    {
        // Only while files are opened: the sweeper does not wait for the whole export.
        using StateLease lease = await Store.EnterAsync(cancellationToken).ConfigureAwait(false);
        SnapshotManifest snapshot = Store.LoadSnapshot(snapshotId);
        FrozenDisks disks = await Task.Run(() => OpenDisks(sandbox.Disks, cancellationToken), cancellationToken).ConfigureAwait(false);
        SafeFileHandle? state = null, pages = null;
        try
        {
            if (memory && snapshot.Memory is SnapshotMemory saved)
            {
                state = Store.OpenSnapshotFileUnchecked(snapshotId, saved.DeviceState);
                pages = Store.OpenSnapshotFileUnchecked(snapshotId, saved.Memory);
            }

            IReadOnlyList<SandboxImage> images = Images.List();
            var manifest = new ArchiveManifest
            {
                SandboxId = sandbox.Id,
                CreatedAt = sandbox.CreatedAt,
                SavedAt = snapshot.CreatedAt,
                Memory = pages is null ? null : Describe(snapshot.Memory!),
                Identity = snapshot.Identity,
                GoldenKey = snapshot.GoldenKey,
                GoldenRamSha256 = snapshot.GoldenRamSha256,
                Rootfs = Describe(sandbox.Disks.Rootfs, images),
                Workspace = Describe(sandbox.Disks.Workspace, images),
                Sandbox = sandbox.Sandbox,
            };
            return new ExportSource(manifest, snapshot, disks, state, pages);
        }
        catch
        {
            disks.Dispose();
            state?.Dispose();
            pages?.Dispose();
            throw;
        }
    }

    private static ArchiveMemory Describe(SnapshotMemory memory) => new()
    {
        PluggedBytes = memory.PluggedBytes,
        RequestedPluggedBytes = memory.RequestedPluggedBytes,
        RamPages = memory.RamPages,
        PluggedPages = memory.PluggedPages,
    };

    private static ArchiveDisk? Describe(DiskChain? chain, IReadOnlyList<SandboxImage> images) => chain is null
        ? null
        : new ArchiveDisk
        {
            ImageDigest = chain.ImageDigest,
            ImageName = images.FirstOrDefault(image => image.Digest == chain.ImageDigest)?.Name,
            VirtualBytes = chain.VirtualBytes,
        };

    /// <summary>What the sandbox is made of here, which this host must allow as if it had been asked for it.</summary>
    private (SandboxSpec Spec, LimitsRecord Limits) Adjust(ArchiveManifest manifest, ImportOptions options)
    {
        SandboxSpec saved = manifest.Sandbox.ToSpec();
        LimitsRecord limits = manifest.Sandbox.Limits;

        // A smaller host gives what it has. Less memory than the guest had is another matter.
        int cpus = 100 * Options.VcpuCount;
        limits = limits with { CpuPercent = Math.Min(limits.CpuPercent, cpus) };
        SandboxSpec spec = saved with
        {
            CpuMaxPercent = saved.CpuMaxPercent is int cpu ? Math.Min(cpu, cpus) : null,
            Egress = options.Egress ?? saved.Egress,
            Labels = options.Labels ?? saved.Labels,
            Lifetime = options.Lifetime ?? saved.Lifetime,
        };
        try
        {
            spec.Validate(Options);
            (spec with { MemoryMib = limits.MemoryMib, CpuMaxPercent = limits.CpuPercent, PidsMax = limits.PidsMax }).Validate(Options);
            return (spec, limits);
        }
        catch (ArgumentException notAllowed)
        {
            throw new InvalidDataException($"the sandbox in it is not one that this host makes: {notAllowed.Message}", notAllowed);
        }
    }

    private void RequireImages(ArchiveManifest manifest)
    {
        foreach (ArchiveDisk disk in new[] { manifest.Rootfs, manifest.Workspace }.OfType<ArchiveDisk>())
        {
            if (!Images.Has(disk.ImageDigest))
            {
                string name = disk.ImageName ?? "unnamed";
                throw new SandboxImageException(
                    $"the archive builds on image '{name}' with the digest {disk.ImageDigest}, which is not here. Copy images/{disk.ImageDigest}/rootfs.raw "
                        + $"from the state directory where the archive was made, and import it: opensandbox image import {disk.ImageName ?? "NAME"} rootfs.raw");
            }

            Images.OpenRootfs(disk.ImageDigest, disk.VirtualBytes).File.Dispose();
        }
    }

    private async Task RequireGoldenAsync(ArchiveManifest manifest, CancellationToken cancellationToken)
    {
        IReadOnlyList<string> mismatches = manifest.Memory is null
            ? ["there is none in the archive"]
            : (await _goldens.FindAsync(manifest.GoldenReference, cancellationToken).ConfigureAwait(false)).Mismatches;
        if (mismatches.Count > 0)
        {
            throw new SandboxSnapshotException(null, "the memory in the archive cannot be used here", mismatches);
        }
    }

    /// <summary>Gives everything its name, and commits. Blocks on the disk. What is left of a failure nothing names, and is swept.</summary>
    private (SandboxLock Lock, SandboxManifest Manifest) Commit(
        string id, ArchiveManifest manifest, SandboxRecord record, ImportedFiles files, StateLease lease, bool renewIdentity)
    {
        using SnapshotStaging staging = Store.StageSnapshot(lease);
        RequireImages(manifest); // from here on nobody removes them: who does needs the lease for himself
        SnapshotMemory? memory = files.LinkMemory(staging, manifest);
        DiskChains disks = files.LinkDisks(Store, lease, manifest);
        Fault.Point(FaultPoints.ImportLinked);
        staging.Publish(new SnapshotManifest
        {
            Id = staging.Id,
            Kind = SnapshotKind.Hibernation,
            SandboxId = id,
            CreatedAt = manifest.SavedAt,
            Memory = memory,
            Identity = manifest.Identity,
            GoldenKey = manifest.GoldenKey,
            GoldenRamSha256 = manifest.GoldenRamSha256,
            Disks = disks,
            Sandbox = record,
            RenewIdentity = renewIdentity,
        });
        Fault.Point(FaultPoints.ImportPublished);
        return Store.CreateSandbox(lease, new SandboxManifest
        {
            Id = id,
            State = RecordedState.Hibernated,
            Lifetime = record.Lifetime,
            CreatedAt = manifest.CreatedAt,
            Sandbox = record,
            Disks = disks,
            SnapshotId = staging.Id,
        });
    }

    private async Task<Sandbox> TakeImportedAsync((SandboxLock Lock, SandboxManifest Manifest) committed, SandboxSpec spec)
    {
        try
        {
            return Take(committed.Lock, committed.Manifest, spec, SandboxState.Hibernated, null);
        }
        catch
        {
            await Task.Run(() => Store.DeleteSandbox(committed.Lock), CancellationToken.None).ConfigureAwait(false);
            committed.Lock.Dispose();
            throw;
        }
    }

    private void BeginImport()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed is not null, this);
            _creating++;
        }
    }

    /// <summary>Takes an id for a sandbox that is going to be there without a machine.</summary>
    /// <param name="wanted">Which; <see langword="null"/>: any.</param>
    /// <exception cref="SandboxOperationException">It is not free.</exception>
    private string ReserveSaved(string? wanted)
    {
        lock (_gate)
        {
            string id = wanted ?? NewId();
            while (Store.SandboxExists(id) || !_ids.Add(id))
            {
                id = wanted is null ? NewId() : throw Taken(wanted, null);
            }

            return id;
        }
    }

    private void EndImport(string? failedId)
    {
        if (failedId is not null)
        {
            SweepSoon();
        }

        lock (_gate)
        {
            if (failedId is not null)
            {
                _ids.Remove(failedId);
            }

            if (--_creating == 0 && _disposed is not null)
            {
                _noneCreating.TrySetResult();
            }
        }
    }

    private static SandboxOperationException Taken(string id, Exception? inner) => new(
        SandboxErrorCode.AlreadyExists, id, Errno.EEXIST, $"there is a sandbox {id} already; import it under a new id, or delete that one first", inner);

    /// <summary>What callers catch instead of what the layers below throw.</summary>
    private static Exception Explain(Exception failure, string? id) => failure switch
    {
        StateUncertainException => new SandboxOperationException(
            SandboxErrorCode.OperationFailed, id ?? "", 0, $"importing: {failure.Message}", failure),
        StateConflictException conflict when id is not null && conflict.Path.EndsWith(id, StringComparison.Ordinal) => Taken(id, failure),
        DamagedFileException or InvalidDataException => new SandboxSnapshotException(null, "the archive is refused", [failure.Message], failure),
        IOException { HResult: Errno.ENOSPC } => new SandboxOperationException(
            SandboxErrorCode.NoSpace, id ?? "", Errno.ENOSPC, $"importing: the host's disk is full ({failure.Message}); make room and try again", failure),
        IOException => new SandboxSnapshotException(null, "the archive cannot be imported", [failure.Message], failure),
        _ => failure,
    };
}
