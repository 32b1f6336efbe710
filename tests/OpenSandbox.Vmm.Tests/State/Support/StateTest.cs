using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>Steps that tests of a state directory are made of.</summary>
internal static class StateTest
{
    /// <summary>For waits that end at once unless something is wrong.</summary>
    internal static TimeSpan Patience { get; } = TimeSpan.FromSeconds(30);

    internal static StateLease Enter(this StateStore store) =>
        store.TryEnter() ?? throw new InvalidOperationException("somebody sweeps");

    internal static SweepReport Sweep(this StateStore store, SweepOptions? options = null) =>
        StateSweeper.TrySweep(store, options) ?? throw new InvalidOperationException("an operation is under way");

    /// <summary>A frozen layer with some content and its digest, linked from a file without a name.</summary>
    internal static LayerRef LinkLayer(this StateStore store, StateLease lease, int content = 1)
    {
        using SafeFileHandle unnamed = UnnamedFile.Create(store.Layout.Layers);
        RandomAccess.Write(unnamed, Content(content, 100_000), 70_000);
        LayerRef layer = store.LinkLayer(lease, unnamed);
        return layer with
        {
            File = SavedFiles.AddDigest(unnamed, layer.File!, store.Layout.Layer(layer.Id), DigestMethod.Sparse, CancellationToken.None),
        };
    }

    /// <summary>A sandbox that runs on one frozen layer; its lock is given back.</summary>
    internal static SandboxManifest AddSandbox(this StateStore store, string id = Samples.SandboxId)
    {
        using StateLease lease = store.Enter();
        (SandboxLock owner, SandboxManifest manifest) = store.CreateSandbox(lease, Samples.Sandbox(id, store.LinkLayer(lease)));
        owner.Dispose();
        return manifest;
    }

    /// <summary>A snapshot with memory, on a layer of its own.</summary>
    internal static SnapshotManifest AddSnapshot(
        this StateStore store, StateLease lease, SnapshotKind kind, string sandboxId = Samples.SandboxId, Func<SnapshotManifest, SnapshotManifest>? change = null)
    {
        using SnapshotStaging staging = store.StageSnapshot(lease);
        SnapshotManifest manifest = Samples.Snapshot(staging.Id, kind, sandboxId, store.LinkLayer(lease, 2)) with
        {
            Memory = new SnapshotMemory
            {
                DeviceState = AddFile(staging, "device-state", 3),
                Memory = AddFile(staging, "memory", 4),
                PluggedBytes = 0,
                RequestedPluggedBytes = 0,
                RamPages = 1,
                PluggedPages = 0,
            },
        };
        manifest = change is null ? manifest : change(manifest);
        staging.Publish(manifest);
        return manifest;
    }

    /// <summary>A checkpoint of a sandbox.</summary>
    internal static SnapshotManifest AddCheckpoint(this StateStore store, string sandboxId = Samples.SandboxId)
    {
        using StateLease lease = store.Enter();
        return store.AddSnapshot(lease, SnapshotKind.Checkpoint, sandboxId);
    }

    /// <summary>Puts a sandbox to sleep, as far as files are concerned.</summary>
    internal static SandboxManifest Hibernate(this StateStore store, string id = Samples.SandboxId)
    {
        using SandboxLock owner = store.TryLockSandbox(id)!;
        using StateLease lease = store.Enter();
        SnapshotManifest snapshot = store.AddSnapshot(lease, SnapshotKind.Hibernation, id);
        return store.CommitSandbox(owner, store.LoadSandbox(id) with
        {
            State = RecordedState.Hibernated,
            SnapshotId = snapshot.Id,
            Disks = snapshot.Disks,
        });
    }

    internal static SavedFile AddFile(SnapshotStaging staging, string name, int content)
    {
        using SafeFileHandle file = staging.CreateFile(name);
        byte[] bytes = Content(content, 10_000);
        RandomAccess.Write(file, bytes, 0);
        return staging.Finish(file, name, Convert.ToHexStringLower(SHA256.HashData(bytes)));
    }

    /// <summary>All paths below the state directory, sorted; locks left out.</summary>
    internal static string[] Files(this StateStore store) =>
    [
        .. Directory.EnumerateFileSystemEntries(store.Layout.Root, "*", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(store.Layout.Root, path))
            .Where(static path => Path.GetFileName(path) is not (StateLayout.LockName or "state.lock" or "state.queue"))
            .Order(StringComparer.Ordinal),
    ];

    /// <summary>Names in the directory of layers.</summary>
    internal static string[] LayerFiles(this StateStore store) =>
        [.. Directory.EnumerateFiles(store.Layout.Layers).Select(static path => Path.GetFileNameWithoutExtension(path)).Order(StringComparer.Ordinal)];

    internal static byte[] Content(int seed, int length)
    {
        byte[] content = new byte[length];
        new Random(seed).NextBytes(content);
        return content;
    }
}
