using System.Globalization;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Disks;

/// <summary>One disk of a sandbox that runs: what is frozen, and the layer above it that is written to.</summary>
/// <remarks>Not thread-safe: the sandbox's operations on it come one after the other.</remarks>
internal sealed class SandboxDisk : IDisposable
{
    private readonly List<SafeFileHandle> _handed = [];
    private int _freezes;

    /// <summary>Takes over both.</summary>
    /// <param name="below">What is frozen.</param>
    /// <param name="active">The layer that is written to.</param>
    /// <param name="node">QEMU's node for it. Default: the one of the command line.</param>
    internal SandboxDisk(FrozenDisk below, DiskLayer active, string? node = null)
    {
        Below = below;
        Active = active;
        Node = node ?? below.Name;
        ActiveFdSet = node is null ? 0 : UnknownFdSet;
    }

    private const long UnknownFdSet = -1;

    internal string Name => Below.Name;

    /// <summary>What lies below the active layer.</summary>
    internal FrozenDisk Below { get; private set; }

    /// <summary>The layer that is written to.</summary>
    internal DiskLayer Active { get; private set; }

    /// <summary>QEMU's node that the device has now.</summary>
    internal string Node { get; private set; }

    /// <summary>The fdset of the active layer's file; 0: the one of the command line.</summary>
    internal long ActiveFdSet { get; private set; }

    /// <summary>
    /// Name of the node for a layer that is going to be the active one; node names are used once. A layer with a name gives it to its node:
    /// that is how the next host finds out which one a machine writes to.
    /// </summary>
    internal string NodeFor(DiskLayer next) => next.Id ?? string.Create(CultureInfo.InvariantCulture, $"{Name}-{_freezes + 1}");

    /// <summary>Adds descriptors for QEMU's command line; the handles behind them live until <see cref="CloseHanded"/>.</summary>
    internal DiskDescriptors Describe(VmDescriptors descriptors) => new(
        descriptors.Add(Hand(Active.Open(write: true))),
        descriptors.Add(Below.Image),
        [.. Below.Layers.Select(layer => descriptors.Add(Hand(layer.Open(write: false))))]);

    /// <summary>QEMU has its own copies by now.</summary>
    internal void CloseHanded()
    {
        _handed.ForEach(static handle => handle.Dispose());
        _handed.Clear();
    }

    /// <summary>QEMU writes to another layer from now on, which is taken over; what was active is frozen.</summary>
    /// <param name="active">The new layer.</param>
    /// <param name="fdSet">The fdset of its file.</param>
    internal void Switch(DiskLayer active, long fdSet)
    {
        FrozenDisk below = Below.With(Active);
        Node = NodeFor(active);
        ActiveFdSet = fdSet;
        _freezes++;
        Below.Dispose();
        Active.Release();
        Below = below;
        Active = active;
    }

    /// <summary>All of the disk as it is, for when nobody writes to it any more: the active layer counts as frozen.</summary>
    internal FrozenDisk Freeze() => Below.With(Active);

    public void Dispose()
    {
        CloseHanded();
        Below.Dispose();
        Active.Release();
    }

    private SafeFileHandle Hand(SafeFileHandle handle)
    {
        _handed.Add(handle);
        return handle;
    }
}
