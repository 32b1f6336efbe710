using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Compression;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Snapshots;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>Sandboxes that were saved.</content>
public sealed partial class SandboxHost
{
    /// <summary>Where saved sandboxes are.</summary>
    internal StateStore Store { get; }

    /// <summary>Opens what a snapshot has saved and checks it: disks now, memory as it is loaded.</summary>
    /// <param name="snapshotId">The snapshot.</param>
    /// <param name="merged">Its disks with the same content in fewer layers. Default: as the snapshot has them.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <exception cref="SandboxSnapshotException">It is missing, or its disks are damaged.</exception>
    internal async Task<SavedSandbox> OpenSavedAsync(string snapshotId, DiskChains? merged, CancellationToken cancellationToken)
    {
        SnapshotManifest manifest;
        FrozenDisks disks;
        try
        {
            manifest = Store.LoadSnapshot(snapshotId);
            DiskChains chains = merged is null ? manifest.Disks : Chains.AddDigests(merged, manifest.Disks);
            disks = await Task.Run(() => OpenDisks(chains, cancellationToken), cancellationToken).ConfigureAwait(false);
        }
        catch (StateFileException damaged)
        {
            throw new SandboxSnapshotException(null, $"snapshot {snapshotId} cannot be used", [damaged.Message], damaged);
        }

        SavedMachine? memory = null;
        try
        {
            if (manifest.Memory is null)
            {
                // A checkpoint of the disks alone was asked for; a sandbox that sleeps without its memory has lost it on its way.
                return new SavedSandbox(
                    manifest, _golden, null, disks, manifest.Kind == SnapshotKind.Hibernation ? ["it was imported without its memory"] : []);
            }

            (GoldenImage? golden, IReadOnlyList<string> mismatches) = await _goldens
                .FindAsync(new GoldenReference(manifest.GoldenKey, manifest.Identity, manifest.GoldenRamSha256), cancellationToken)
                .ConfigureAwait(false);
            if (golden is null)
            {
                return new SavedSandbox(manifest, _golden, null, disks, mismatches);
            }

            try
            {
                memory = SavedMachine.Open(Store, snapshotId, manifest.Memory, golden.Shape);
                return new SavedSandbox(manifest, golden, memory, disks, []);
            }
            catch (Exception damaged) when (damaged is DamagedFileException or IOException)
            {
                return new SavedSandbox(manifest, _golden, null, disks, [damaged.Message]);
            }
        }
        catch
        {
            memory?.Dispose();
            disks.Dispose();
            throw;
        }
    }

    /// <summary>Starts a machine from what was saved: with its memory, or from its disks where that cannot be used.</summary>
    /// <param name="id">The sandbox's id.</param>
    /// <param name="spec">What the sandbox is made of.</param>
    /// <param name="saved">What was saved.</param>
    /// <param name="renewIdentity">Whether the guest is to become another one.</param>
    /// <param name="options">What to do where the memory cannot be used.</param>
    /// <param name="newLayer">Makes the empty layers that it writes to.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <returns>The machine, its limits, and why its memory could not be used.</returns>
    /// <exception cref="SandboxSnapshotException">The memory cannot be used and is required.</exception>
    internal async Task<(SandboxRun Run, SandboxLimits Limits, IReadOnlyList<string> Reasons)> StartSavedAsync(
        string id,
        SandboxSpec spec,
        SavedSandbox saved,
        bool renewIdentity,
        WakeOptions options,
        Func<long, DiskLayer> newLayer,
        CancellationToken cancellationToken)
    {
        LimitsRecord limits = saved.Manifest.Sandbox.Limits;
        EnsureMemory(limits.MemoryMib);
        IReadOnlyList<string> reasons = saved.Reasons;
        if (saved.Memory is not null && !options.FromDisk)
        {
            try
            {
                var start = new MachineStart(id, spec, saved.Golden, saved.Disks.Extend(newLayer))
                {
                    Memory = saved.Memory,
                    MemoryMib = limits.MemoryMib,
                    RenewIdentity = renewIdentity,
                    Detached = NewDetachment(id, spec),
                };
                (SandboxRun run, _) = await StartMachineAsync(start, cancellationToken).ConfigureAwait(false);
                return (run, limits.ToLimits(run.Resumed.MemoryBytes), []);
            }
            catch (SandboxStartException failure) when (failure.InnerException is DamagedFileException damaged)
            {
                // Nothing of it has run: the devices' state, which sets a machine going, comes last.
                reasons = [damaged.Message];
            }
        }

        if (options.RequireMemory && reasons.Count > 0)
        {
            throw new SandboxSnapshotException(id, $"the memory of snapshot {saved.Manifest.Id} cannot be used", reasons);
        }

        var boot = new MachineStart(
            id,
            spec with { MemoryMib = limits.MemoryMib, CpuMaxPercent = limits.CpuPercent, PidsMax = limits.PidsMax },
            _golden,
            saved.Disks.Extend(newLayer)) { Detached = NewDetachment(id, spec) };
        (SandboxRun booted, _) = await StartMachineAsync(boot, cancellationToken).ConfigureAwait(false);
        return (booted, limits.ToLimits(booted.Resumed.MemoryBytes), reasons);
    }

    /// <summary>The manifest of a snapshot that is being made.</summary>
    internal SnapshotManifest DescribeSnapshot(
        string id, SnapshotKind kind, string sandboxId, string? name, GoldenReference golden, SnapshotMemory? memory, DiskChains disks, SandboxRecord record) =>
        new()
        {
            Id = id,
            Kind = kind,
            SandboxId = sandboxId,
            Name = name,
            CreatedAt = Options.TimeProvider.GetUtcNow(),
            Memory = memory,
            Identity = golden.Identity,
            GoldenKey = golden.Key,
            GoldenRamSha256 = golden.RamSha256,
            Disks = disks,
            Sandbox = record,
        };

    /// <summary>Deletes a snapshot that nothing names any more. What cannot be deleted now is left to the sweeper.</summary>
    internal void DeleteReplaced(string snapshotId)
    {
        try
        {
            if (Store.DeleteSnapshot(snapshotId) is IOException left)
            {
                VmmLog.SweepFailed(Logger, snapshotId, left);
            }
        }
        catch (IOException failure)
        {
            VmmLog.SweepFailed(Logger, snapshotId, failure);
        }
    }

    internal FrozenDisks OpenDisks(DiskChains chains, CancellationToken cancellationToken)
    {
        FrozenDisk? rootfs = chains.Rootfs is null ? null : OpenDisk(Qemu.QemuCommandLine.RootfsName, chains.Rootfs, cancellationToken);
        try
        {
            return new FrozenDisks(
                rootfs, chains.Workspace is null ? null : OpenDisk(Qemu.QemuCommandLine.WorkspaceName, chains.Workspace, cancellationToken));
        }
        catch
        {
            rootfs?.Dispose();
            throw;
        }
    }

    private FrozenDisk OpenDisk(string name, DiskChain chain, CancellationToken cancellationToken)
    {
        (string digest, SafeFileHandle image) = Images.OpenRootfs(chain.ImageDigest, chain.VirtualBytes);
        var layers = new List<DiskLayer>();
        try
        {
            foreach (LayerRef layer in chain.Layers)
            {
                (SafeFileHandle file, LayerRef described) = Store.OpenFrozenLayer(layer, cancellationToken);
                try
                {
                    // Written by a QEMU whose guest may have taken it over: no byte of it may make the next one open a file.
                    Qcow2Layer.Open(file, chain.VirtualBytes);
                }
                catch
                {
                    file.Dispose();
                    throw;
                }

                layers.Add(DiskLayer.Frozen(described, file));
            }

            return new FrozenDisk(name, digest, image, chain.VirtualBytes, layers);
        }
        catch (DamagedFileException damaged)
        {
            Drop();
            throw new StateFileException(
                Store.Layout.Layers, $"a layer of {name} is damaged: {damaged.Message}", "It is not used. Restore it from a backup", damaged);
        }
        catch
        {
            Drop();
            throw;
        }

        void Drop()
        {
            image.Dispose();
            layers.ForEach(static layer => layer.Release());
        }
    }
}
