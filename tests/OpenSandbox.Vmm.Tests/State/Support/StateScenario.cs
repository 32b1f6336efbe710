using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>
/// A change of several steps: what is there before, the steps, and what may be there after a crash anywhere in them, once the next start has
/// swept: the old state or the new one, whole, and nothing else.
/// </summary>
internal sealed record StateScenario(
    string Name, Action<StateStore> Arrange, Action<StateStore> Act, Func<StateStore, StateOutcome> Recover)
{
    private const string NewId = "sb-00000002";

    internal static IReadOnlyList<StateScenario> All { get; } =
    [
        new("create", static store => store.AddSandbox(), Create, static store => Presence(store, NewId)),
        new("commit", static store => store.AddSandbox(), Commit, static store =>
            store.LoadSandbox(Samples.SandboxId) switch
            {
                { Generation: 1, Expiry: null } => StateOutcome.Old,
                { Generation: 2, Expiry: not null } => StateOutcome.New,
                _ => StateOutcome.Wrong,
            }),
        new("hibernate", static store => store.AddSandbox(), Hibernate, static store => Sleep(store) switch
        {
            RecordedState.Hibernated => StateOutcome.New,
            RecordedState.Running => StateOutcome.Old,
            _ => StateOutcome.Wrong,
        }),
        new("wake", ArrangeSleeping, Wake, static store => Sleep(store) switch
        {
            RecordedState.Hibernated => StateOutcome.Old,
            RecordedState.Running => StateOutcome.New,
            _ => StateOutcome.Wrong,
        }),
        new("checkpoint", static store => store.AddSandbox(), static store => store.AddCheckpoint(), static store => Checkpoints(store) switch
        {
            0 => StateOutcome.Old,
            1 => StateOutcome.New,
            _ => StateOutcome.Wrong,
        }),
        new("amend", static store => store.AddCheckpoint(), Amend, static store => store.ListSnapshots().Items.Single().Name switch
        {
            null => StateOutcome.Old,
            "named" => StateOutcome.New,
            _ => StateOutcome.Wrong,
        }),
        new("delete-snapshot", static store => store.AddCheckpoint(), DeleteSnapshot, static store =>
            Checkpoints(store) == 0 ? StateOutcome.New : StateOutcome.Old),
        new("delete-sandbox", ArrangeSleeping, DeleteSandbox, static store =>
            Presence(store, Samples.SandboxId) == StateOutcome.New ? StateOutcome.Old : StateOutcome.New),
        new("sweep", ArrangeGarbage, static store => store.Sweep(), static store =>
            Sleep(store) == RecordedState.Hibernated && Checkpoints(store) == 1 ? StateOutcome.New : StateOutcome.Wrong),
    ];

    internal static StateScenario Of(string name) => All.Single(scenario => scenario.Name == name);

    /// <summary>
    /// What the next start does with a state directory, and what it finds: everything can be read, everything named is there and whole, and
    /// nothing is there that is not named.
    /// </summary>
    internal static StateOutcome Restart(StateScenario scenario, string directory)
    {
        StateStore store = StateStore.Open(directory);
        store.Sweep();

        // What was interrupted is given up, as a host does that finds the VM gone.
        foreach (SandboxManifest interrupted in store.ListSandboxes().Items.Where(static sandbox => sandbox.Operation is not null))
        {
            using SandboxLock owner = store.TryLockSandbox(interrupted.Id) ?? throw new InvalidOperationException("its lock is still held");
            store.CommitSandbox(owner, interrupted with { Operation = null });
        }

        SweepReport report = store.Sweep();
        Assert.Empty(report.Damaged);
        Assert.Empty(report.Kept);
        Whole(store);
        Assert.Empty(store.Sweep().Removed);
        return scenario.Recover(store);
    }

    private static void Whole(StateStore store)
    {
        var layers = new HashSet<string>(StringComparer.Ordinal);
        var expected = new List<string> { "layers", "sandboxes", "snapshots" };
        foreach (SandboxManifest sandbox in store.ListSandboxes().Items)
        {
            expected.AddRange([$"sandboxes/{sandbox.Id}", $"sandboxes/{sandbox.Id}/manifest.json"]);
            Check(sandbox.Disks);
            if (sandbox.SnapshotId is string id)
            {
                store.LoadSnapshot(id);
            }
        }

        foreach (SnapshotManifest snapshot in store.ListSnapshots().Items)
        {
            expected.AddRange([$"snapshots/{snapshot.Id}", $"snapshots/{snapshot.Id}/manifest.json"]);
            Check(snapshot.Disks);
            foreach (SavedFile file in (IEnumerable<SavedFile>)[snapshot.Memory!.DeviceState, snapshot.Memory.Memory])
            {
                expected.Add($"snapshots/{snapshot.Id}/{file.Name}");
                store.OpenSnapshotFile(snapshot.Id, file, CancellationToken.None).File.Dispose();
            }
        }

        expected.AddRange(layers.Select(static id => $"layers/{id}.qcow2"));
        Assert.Equal(expected.Order(StringComparer.Ordinal), store.Files());

        void Check(DiskChains disks)
        {
            foreach (LayerRef layer in disks.All().SelectMany(static chain => chain.Layers))
            {
                layers.Add(layer.Id);
                if (layer.File is null)
                {
                    store.OpenLayer(layer.Id, readOnly: false).Dispose();
                }
                else
                {
                    store.OpenFrozenLayer(layer, CancellationToken.None).File.Dispose();
                }
            }
        }
    }

    private static void Create(StateStore store)
    {
        using StateLease lease = store.Enter();
        (SandboxLock owner, _) = store.CreateSandbox(lease, Samples.Sandbox(NewId, store.LinkLayer(lease, 5)));
        owner.Dispose();
    }

    private static void Commit(StateStore store)
    {
        using SandboxLock owner = store.TryLockSandbox(Samples.SandboxId)!;
        store.CommitSandbox(
            owner, store.LoadSandbox(Samples.SandboxId) with { Expiry = new ExpiryRecord { LastActivityUtc = Samples.Time, DeadlineUtc = Samples.Time } });
    }

    private static void Hibernate(StateStore store)
    {
        using SandboxLock owner = store.TryLockSandbox(Samples.SandboxId)!;
        using StateLease lease = store.Enter();
        using SnapshotStaging staging = store.StageSnapshot(lease);
        SandboxManifest sandbox = store.CommitSandbox(owner, store.LoadSandbox(Samples.SandboxId) with
        {
            Operation = new OperationRecord { Kind = OperationKind.Hibernate, SnapshotId = staging.Id, StartedAt = Samples.Time },
        });
        DiskChain rootfs = sandbox.Disks.Rootfs!;
        var disks = new DiskChains { Rootfs = rootfs with { Layers = [.. rootfs.Layers, store.LinkLayer(lease, 6)] } };
        staging.Publish(Samples.Snapshot(staging.Id, SnapshotKind.Hibernation) with { Disks = disks, Memory = Memory(staging) });
        store.CommitSandbox(
            owner, sandbox with { State = RecordedState.Hibernated, SnapshotId = staging.Id, Disks = disks, Vm = null, Operation = null });
    }

    private static void Wake(StateStore store)
    {
        using SandboxLock owner = store.TryLockSandbox(Samples.SandboxId)!;
        using (StateLease lease = store.Enter())
        {
            SandboxManifest sandbox = store.LoadSandbox(Samples.SandboxId);
            DiskChain rootfs = sandbox.Disks.Rootfs!;
            using LayerFile layer = store.CreateLayerFile(lease, static file => Qcow2Overlay.Format(file, 1 << 30));
            store.CommitSandbox(owner, sandbox with
            {
                State = RecordedState.Running,
                SnapshotId = null,
                Vm = Samples.Vm,
                Disks = new DiskChains { Rootfs = rootfs with { Layers = [.. rootfs.Layers, new LayerRef { Id = layer.Id }] } },
            });
        }

        store.Sweep();
    }

    private static void Amend(StateStore store) =>
        store.AmendSnapshot(store.ListSnapshots().Items.Single().Id, static manifest => manifest with { Name = "named" });

    private static void DeleteSandbox(StateStore store)
    {
        using SandboxLock owner = store.TryLockSandbox(Samples.SandboxId)!;
        store.CommitSandbox(owner, store.LoadSandbox(Samples.SandboxId) with { State = RecordedState.Deleting });
        Throw(store.DeleteSandbox(owner));
    }

    private static void DeleteSnapshot(StateStore store) => Throw(store.DeleteSnapshot(store.ListSnapshots().Items.Single().Id));

    /// <summary>What was left of something that is deleted is an error only for these tests.</summary>
    private static void Throw(IOException? left)
    {
        if (left is not null)
        {
            throw left;
        }
    }

    private static void ArrangeSleeping(StateStore store)
    {
        store.AddSandbox();
        store.Hibernate();
        store.Sweep();
    }

    /// <summary>One of everything that a sweep removes, beside what it must leave.</summary>
    private static void ArrangeGarbage(StateStore store)
    {
        ArrangeSleeping(store);
        store.AddCheckpoint();
        using (StateLease lease = store.Enter())
        {
            store.LinkLayer(lease, 7);
            store.AddSnapshot(lease, SnapshotKind.Hibernation);
            store.AddSnapshot(lease, SnapshotKind.Hibernation, Samples.OtherSandboxId);
        }

        store.AddSandbox("sb-00000003");
        using (SandboxLock owner = store.TryLockSandbox("sb-00000003")!)
        {
            store.CommitSandbox(owner, store.LoadSandbox("sb-00000003") with { State = RecordedState.Deleting });
        }

        foreach (string leftover in (string[])["sandboxes/sb-00000004.1.tmp", "snapshots/sn-0000000000000001.1.tmp"])
        {
            Directory.CreateDirectory(Path.Combine(store.Layout.Root, leftover));
            File.WriteAllBytes(Path.Combine(store.Layout.Root, leftover, "manifest.json"), [1, 2, 3]);
        }

        File.WriteAllBytes(store.Layout.SandboxManifest(Samples.SandboxId) + ".1.tmp", [1]);
        File.WriteAllBytes(store.Layout.SnapshotManifest(store.LoadSandbox(Samples.SandboxId).SnapshotId!) + ".1.tmp", [1]);
    }

    private static SnapshotMemory Memory(SnapshotStaging staging) => new()
    {
        DeviceState = StateTest.AddFile(staging, "device-state", 8),
        Memory = StateTest.AddFile(staging, "memory", 9),
        PluggedBytes = 0,
        RequestedPluggedBytes = 0,
        RamPages = 1,
        PluggedPages = 0,
    };

    private static StateOutcome Presence(StateStore store, string id)
    {
        bool there = store.ListSandboxes().Items.Any(sandbox => sandbox.Id == id);
        return there == store.SandboxExists(id) ? there ? StateOutcome.New : StateOutcome.Old : StateOutcome.Wrong;
    }

    /// <summary>The state of the sandbox; a hibernated one has its snapshot, a running one none.</summary>
    private static RecordedState? Sleep(StateStore store)
    {
        SandboxManifest sandbox = store.LoadSandbox(Samples.SandboxId);
        int snapshots = store.ListSnapshots().Items.Count(static snapshot => snapshot.Kind == SnapshotKind.Hibernation);
        return sandbox.Operation is null && snapshots == (sandbox.State == RecordedState.Hibernated ? 1 : 0) ? sandbox.State : null;
    }

    private static int Checkpoints(StateStore store) =>
        store.ListSnapshots().Items.Count(static snapshot => snapshot.Kind == SnapshotKind.Checkpoint);
}
