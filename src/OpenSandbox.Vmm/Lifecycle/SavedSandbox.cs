using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Snapshots;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Lifecycle;

/// <summary>What a snapshot has saved, opened and checked: ready to start machines from.</summary>
/// <param name="Manifest">The snapshot's manifest.</param>
/// <param name="Golden">The golden snapshot to start from: the one that the memory is a difference to, or else the host's own.</param>
/// <param name="Memory">The memory, or nothing if it was not saved or cannot be used.</param>
/// <param name="Disks">The disks.</param>
/// <param name="Reasons">Why the memory cannot be used.</param>
internal sealed record SavedSandbox(
    SnapshotManifest Manifest, GoldenImage Golden, SavedMachine? Memory, FrozenDisks Disks, IReadOnlyList<string> Reasons) : IDisposable
{
    public void Dispose()
    {
        Memory?.Dispose();
        Disks.Dispose();
    }
}
