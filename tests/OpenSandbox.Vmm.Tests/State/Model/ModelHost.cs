using System.Buffers.Binary;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State.Model;

/// <summary>
/// A host whose VMs are fakes: the state directory, the layers and the order of commits are the product's, of detached sandboxes with one
/// disk. It ends by being thrown away.
/// </summary>
internal sealed partial class ModelHost : IDisposable
{
    internal const long DiskBytes = 1 << 20;

    private readonly StateStore _store;
    private readonly Dictionary<string, FakeMachine> _machines; // by nonce; they outlive the host
    private readonly List<SafeFileHandle> _opened = []; // closed with the host, as the kernel would
    private readonly Dictionary<string, Held> _held = new(StringComparer.Ordinal);

    internal ModelHost(string directory, Dictionary<string, FakeMachine> machines)
    {
        _store = StateStore.Open(directory);
        _machines = machines;
    }

    internal StateStore Store => _store;

    internal void Create(string id)
    {
        using StateLease lease = _store.Enter();
        using FrozenDisks images = Open(new DiskChain { ImageDigest = Samples.ImageDigest, VirtualBytes = DiskBytes, Layers = [] });
        Register(id, images, 0, lease);
    }

    internal void Write(string id, int number) => MachineOf(id).Write(number);

    internal void Hibernate(string id)
    {
        Held held = _held[id];
        FakeMachine machine = MachineOf(id);
        using (StateLease lease = _store.Enter())
        using (SnapshotStaging staging = _store.StageSnapshot(lease))
        {
            machine.Stopped = true;
            Fault.Point(FaultPoints.HibernateStopped);
            SnapshotMemory memory = Save(staging, machine.Ram);
            using FrozenDisks disks = held.Disks!.Freeze();
            DiskChains chains = Chains.Save(disks, _store, lease);
            Fault.Point(FaultPoints.HibernateLinked);
            staging.Publish(Samples.Snapshot(staging.Id, SnapshotKind.Hibernation, id) with { Disks = chains, Memory = memory });
            Commit(id, manifest => manifest with { State = RecordedState.Hibernated, SnapshotId = staging.Id, Disks = chains, Vm = null, Golden = null });
        }

        Fault.Point(FaultPoints.HibernateCommitted);
        End(held, machine.Nonce);
    }

    internal void Wake(string id)
    {
        Held held = _held[id];
        string slept = held.Manifest.SnapshotId!;
        using StateLease lease = _store.Enter();
        using FrozenDisks saved = Open(held.Manifest.Disks.Rootfs!);
        Run(held, id, saved, Load(_store.LoadSnapshot(slept)), lease);
        Drop(slept);
    }

    internal void Boot(string id)
    {
        Held held = _held[id];
        using StateLease lease = _store.Enter();
        using FrozenDisks settled = Open(Chains.Settle(held.Manifest.Disks, _store).Rootfs!);
        Run(held, id, settled, 0, lease);
    }

    internal void Checkpoint(string id, string name)
    {
        Held held = _held[id];
        FakeMachine machine = MachineOf(id);
        using StateLease lease = _store.Enter();
        DiskLayer next = NewLayer(lease);
        Commit(id, manifest => manifest with
        {
            Disks = Chains.Describe(held.Disks!, _store, lease, _ => next),
            Operation = new OperationRecord { Kind = OperationKind.Checkpoint, StartedAt = Samples.Time },
        });
        Fault.Point(FaultPoints.SwitchPending);
        machine.Switch(next.Id!, _store.OpenLayer(next.Id!, readOnly: false));
        held.Disks!.Rootfs!.Switch(next, 1);
        Fault.Point(FaultPoints.SwitchDone);
        Commit(id, manifest => manifest with { Disks = Chains.Describe(held.Disks!, _store, lease), Operation = null });
        using FrozenDisks cut = held.Disks.ShareBelow();
        using SnapshotStaging staging = _store.StageSnapshot(lease);
        SnapshotMemory memory = Save(staging, machine.Ram);
        staging.Publish(Samples.Snapshot(staging.Id, SnapshotKind.Checkpoint, id) with { Name = name, Disks = Chains.Save(cut, _store, lease), Memory = memory });
    }

    internal void Restore(string id, string checkpoint)
    {
        Held held = _held[id];
        SnapshotManifest snapshot = Find(checkpoint);
        string? slept = held.Manifest.SnapshotId;
        string? old = held.Manifest.Vm?.Nonce;
        using StateLease lease = _store.Enter();
        using FrozenDisks saved = Open(snapshot.Disks.Rootfs!);
        SandboxDisks? before = held.Disks;
        Run(held, id, saved, Load(snapshot), lease);
        Fault.Point(FaultPoints.RestoreCommitted);
        before?.Dispose();
        if (old is not null)
        {
            EndMachine(old);
        }

        if (slept is not null)
        {
            Drop(slept);
        }
    }

    internal void Fork(string checkpoint, string id)
    {
        SnapshotManifest snapshot = Find(checkpoint);
        using StateLease lease = _store.Enter();
        using FrozenDisks saved = Open(snapshot.Disks.Rootfs!);
        Register(id, saved, Load(snapshot), lease);
    }

    internal void Delete(string id)
    {
        Held held = _held[id];
        Commit(id, static manifest => manifest with { State = RecordedState.Deleting });
        Fault.Point(FaultPoints.DeleteMarked);
        if (held.Manifest.Vm is { } vm)
        {
            End(held, vm.Nonce);
        }

        Fault.Point(FaultPoints.DeleteEnded);
        Throw(_store.DeleteSandbox(held.Lock));
        held.Lock.Dispose();
        _held.Remove(id);
    }

    internal void DeleteCheckpoint(string checkpoint) => Throw(_store.DeleteSnapshot(Find(checkpoint).Id));

    /// <summary>Its VM dies, and the host writes that down.</summary>
    internal void Die(string id)
    {
        Held held = _held[id];
        End(held, held.Manifest.Vm!.Nonce);
        Commit(id, static manifest => manifest with { Vm = null });
    }

    internal void Sweep() => _store.Sweep();

    public void Dispose()
    {
        foreach (Held held in _held.Values)
        {
            held.Disks?.Dispose();
            held.Lock.Dispose();
        }

        _opened.ForEach(static file => file.Dispose());
    }

    private FakeMachine MachineOf(string id) => _machines[_held[id].Manifest.Vm!.Nonce];

    private SnapshotManifest Find(string checkpoint) => _store.ListSnapshots().Items.Single(snapshot => snapshot.Name == checkpoint);

    private void Register(string id, FrozenDisks from, int ram, StateLease lease)
    {
        SandboxDisks disks = from.Extend(_ => NewLayer(lease));
        var held = new Held { Disks = disks };
        try
        {
            FakeMachine machine = Start(disks, ram);
            Fault.Point(FaultPoints.CreateStarted);
            (held.Lock, held.Manifest) = _store.CreateSandbox(lease, Samples.Sandbox(id) with
            {
                Disks = Chains.Describe(disks, _store, lease),
                Vm = Samples.Vm with { Nonce = machine.Nonce },
            });
            _held[id] = held;
        }
        finally
        {
            if (!_held.ContainsKey(id))
            {
                disks.Dispose(); // descriptors of a process that ends are closed, too
            }
        }
    }

    private void Run(Held held, string id, FrozenDisks from, int ram, StateLease lease)
    {
        SandboxDisks disks = from.Extend(_ => NewLayer(lease));
        bool committed = false;
        try
        {
            FakeMachine machine = Start(disks, ram);
            Fault.Point(FaultPoints.WakeStarted);
            Commit(id, manifest => manifest with
            {
                State = RecordedState.Running,
                SnapshotId = null,
                Operation = null,
                Golden = Samples.Golden,
                Vm = Samples.Vm with { Nonce = machine.Nonce },
                Disks = Chains.Describe(disks, _store, lease),
            });
            held.Disks = disks;
            committed = true;
        }
        finally
        {
            if (!committed)
            {
                disks.Dispose();
            }
        }
    }

    private FakeMachine Start(SandboxDisks disks, int ram)
    {
        string active = disks.Rootfs!.Active.Id!;
        string nonce = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
        return _machines[nonce] = new FakeMachine(nonce, ram, active, _store.OpenLayer(active, readOnly: false));
    }

    private void End(Held held, string nonce)
    {
        EndMachine(nonce);
        held.Disks?.Dispose();
        held.Disks = null;
    }

    private void EndMachine(string nonce)
    {
        if (_machines.Remove(nonce, out FakeMachine? machine))
        {
            machine.Dispose();
        }
    }

    private void Drop(string snapshot) => Throw(_store.DeleteSnapshot(snapshot));

    private void Commit(string id, Func<SandboxManifest, SandboxManifest> change)
    {
        Held held = _held[id];
        held.Manifest = _store.CommitSandbox(held.Lock, change(held.Manifest));
    }

    private DiskLayer NewLayer(StateLease lease)
    {
        LayerFile made = _store.CreateLayerFile(lease, static file => Qcow2Overlay.Format(file, DiskBytes));
        _opened.Add(made.File);
        return DiskLayer.Named(made.Id, made.File);
    }

    private FrozenDisks Open(DiskChain chain)
    {
        var layers = new List<DiskLayer>();
        foreach (LayerRef layer in chain.Layers)
        {
            (SafeFileHandle file, LayerRef described) = _store.OpenFrozenLayer(layer, CancellationToken.None);
            _opened.Add(file);
            layers.Add(DiskLayer.Frozen(described, file));
        }

        return new FrozenDisks(
            new FrozenDisk("rootfs", chain.ImageDigest, File.OpenHandle("/dev/null"), chain.VirtualBytes, layers), null);
    }

    private static SnapshotMemory Save(SnapshotStaging staging, int ram)
    {
        byte[] bytes = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, ram);
        return new SnapshotMemory
        {
            DeviceState = Add("device-state"),
            Memory = Add("memory"),
            PluggedBytes = 0,
            RequestedPluggedBytes = 0,
            RamPages = 1,
            PluggedPages = 0,
        };

        SavedFile Add(string name)
        {
            using SafeFileHandle file = staging.CreateFile(name);
            RandomAccess.Write(file, bytes, 0);
            return staging.Finish(file, name, Convert.ToHexStringLower(SHA256.HashData(bytes)));
        }
    }

    private int Load(SnapshotManifest snapshot)
    {
        using SafeFileHandle file = _store.OpenSnapshotFile(snapshot.Id, snapshot.Memory!.Memory, CancellationToken.None).File;
        byte[] bytes = new byte[sizeof(int)];
        RandomAccess.Read(file, bytes, 0);
        return BinaryPrimitives.ReadInt32LittleEndian(bytes);
    }

    private static void Throw(IOException? left)
    {
        if (left is not null)
        {
            throw left;
        }
    }

    /// <summary>A sandbox that this host has.</summary>
    private sealed class Held
    {
        internal SandboxLock Lock { get; set; } = null!;

        internal SandboxManifest Manifest { get; set; } = null!;

        internal SandboxDisks? Disks { get; set; }
    }
}
