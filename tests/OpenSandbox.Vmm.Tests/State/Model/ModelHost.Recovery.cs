using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State.Model;

/// <content>What the next host does, and what it finds.</content>
internal sealed partial class ModelHost
{
    /// <summary>Takes over everything, as the product's host does when it starts.</summary>
    internal void Recover()
    {
        StateListing<SandboxManifest> listing = _store.ListSandboxes();
        Assert.Empty(listing.Damaged);
        foreach (string id in listing.Items.Select(static manifest => manifest.Id))
        {
            SandboxLock owner = _store.TryLockSandbox(id) ?? throw new InvalidOperationException($"{id} is locked by nobody");
            Assert.Null(_store.RemoveLeftovers(owner));
            var held = new Held { Lock = owner, Manifest = _store.LoadSandbox(id) };
            string? nonce = held.Manifest.Vm?.Nonce;
            if (held.Manifest.State == RecordedState.Deleting)
            {
                EndMachine(nonce ?? "");
                Throw(_store.DeleteSandbox(owner));
                owner.Dispose();
                continue;
            }

            _held[id] = held;
            if (nonce is not null && _machines.TryGetValue(nonce, out FakeMachine? machine))
            {
                Adopt(id, held, machine);
            }
            else if (nonce is not null)
            {
                Commit(id, static manifest => manifest with { Vm = null });
            }
        }

        HashSet<string> named = [.. _held.Values.Select(static held => held.Manifest.Vm?.Nonce).OfType<string>()];
        foreach (string orphan in _machines.Keys.Except(named).ToList())
        {
            EndMachine(orphan);
        }

        _store.Sweep();
    }

    /// <summary>What there is, as the model has it; and that there is nothing else.</summary>
    internal ModelWorld Observe()
    {
        ModelWorld world = ModelWorld.Empty;
        var layers = new HashSet<string>(StringComparer.Ordinal);
        foreach (SandboxManifest manifest in _store.ListSandboxes().Items)
        {
            FakeMachine? machine = manifest.Vm is { } vm ? _machines.GetValueOrDefault(vm.Nonce) : null;
            SandboxState state = manifest.State == RecordedState.Hibernated ? SandboxState.Hibernated
                : machine is null ? SandboxState.Crashed
                : SandboxState.Running;
            int ram = machine?.Ram ?? (manifest.SnapshotId is string slept ? Load(_store.LoadSnapshot(slept)) : 0);
            world = world.With(manifest.Id, new ModelBox(state, Read(manifest.Disks.Rootfs!), ram));
            layers.UnionWith(manifest.Disks.Rootfs!.LayerIds);
        }

        StateListing<SnapshotManifest> snapshots = _store.ListSnapshots();
        Assert.Empty(snapshots.Damaged);
        foreach (SnapshotManifest snapshot in snapshots.Items)
        {
            layers.UnionWith(snapshot.Disks.Rootfs!.LayerIds);
            if (snapshot.Kind == SnapshotKind.Checkpoint)
            {
                world = world.WithCheckpoint(snapshot.Name!, new ModelBox(SandboxState.Hibernated, Read(snapshot.Disks.Rootfs!), Load(snapshot)));
            }
        }

        Assert.Equal(
            _held.Values.Select(static held => held.Manifest.Vm?.Nonce).OfType<string>().Order(StringComparer.Ordinal),
            _machines.Keys.Order(StringComparer.Ordinal));
        _store.Sweep();
        Assert.Equal(layers.Order(StringComparer.Ordinal), _store.LayerFiles());
        Assert.DoesNotContain(_store.Files(), static path => path.EndsWith(".tmp", StringComparison.Ordinal));
        return world;
    }

    private void Adopt(string id, Held held, FakeMachine machine)
    {
        machine.Stopped = false;
        DiskChain chain = held.Manifest.Disks.Rootfs!;
        string recorded = chain.Layers[^1].Id;
        bool moved = machine.Active == chain.Pending;
        Assert.True(moved || machine.Active == recorded, "the machine writes to a layer that its manifest does not name");
        using FrozenDisks below = Open(chain with
        {
            Pending = null,
            Layers = [.. chain.Layers.SkipLast(1), .. moved ? [_store.FreezeLayer(recorded)] : Array.Empty<LayerRef>()],
        });
        SafeFileHandle active = _store.OpenLayer(machine.Active, readOnly: false);
        _opened.Add(active);
        held.Disks = below.Extend(_ => DiskLayer.Named(machine.Active, active));
        if (held.Manifest.Operation is not null)
        {
            using StateLease lease = _store.Enter();
            Commit(id, manifest => manifest with { Disks = Chains.Describe(held.Disks, _store, lease), Operation = null });
        }
    }

    private List<int> Read(DiskChain chain)
    {
        var numbers = new List<int>();
        foreach (string layer in chain.LayerIds)
        {
            using SafeFileHandle file = _store.OpenLayer(layer, readOnly: true);
            numbers.AddRange(FakeMachine.Read(file));
        }

        return numbers;
    }
}
