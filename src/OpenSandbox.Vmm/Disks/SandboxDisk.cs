using System.Globalization;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Disks;

/// <summary>One disk of a sandbox that runs: a raw image, frozen layers above it and the layer that is written to.</summary>
/// <remarks>Not thread-safe: the sandbox's operations on it come one after the other.</remarks>
internal sealed class SandboxDisk : IDisposable
{
    private readonly SafeFileHandle _image;
    private readonly List<DiskLayer> _frozen;
    private readonly List<SafeFileHandle> _handed = [];
    private int _freezes;

    /// <summary>Takes over the image's handle and the references to the layers.</summary>
    /// <param name="name"><c>rootfs</c> or <c>workspace</c>: the name of QEMU's block node, too.</param>
    /// <param name="imageDigest">The image's digest.</param>
    /// <param name="image">The image.</param>
    /// <param name="virtualBytes">Size of the disk.</param>
    /// <param name="frozen">Layers below the active one, bottom to top.</param>
    /// <param name="active">The layer that is written to.</param>
    internal SandboxDisk(
        string name, string imageDigest, SafeFileHandle image, long virtualBytes, IEnumerable<DiskLayer> frozen, DiskLayer active)
    {
        Name = name;
        ImageDigest = imageDigest;
        _image = image;
        VirtualBytes = virtualBytes;
        _frozen = [.. frozen];
        Active = active;
        Node = name;
    }

    internal string Name { get; }

    internal string ImageDigest { get; }

    internal long VirtualBytes { get; }

    /// <summary>QEMU's node that the device has now.</summary>
    internal string Node { get; private set; }

    /// <summary>The layer that is written to.</summary>
    internal DiskLayer Active { get; private set; }

    /// <summary>The layers below it, bottom to top.</summary>
    internal IReadOnlyList<DiskLayer> Frozen => _frozen;

    /// <summary>Name of the node for the next overlay; node names are used once.</summary>
    internal string NextNode => string.Create(CultureInfo.InvariantCulture, $"{Name}-{_freezes + 1}");

    /// <summary>Adds descriptors for QEMU's command line; the handles behind them live until <see cref="CloseHanded"/>.</summary>
    internal DiskDescriptors Describe(VmDescriptors descriptors) => new(
        descriptors.Add(Hand(Active.Open(write: true))),
        descriptors.Add(_image),
        [.. _frozen.Select(layer => descriptors.Add(Hand(layer.Open(write: false))))]);

    /// <summary>QEMU has its own copies by now.</summary>
    internal void CloseHanded()
    {
        _handed.ForEach(static handle => handle.Dispose());
        _handed.Clear();
    }

    /// <summary>QEMU writes to another layer from now on; what was active is frozen.</summary>
    internal void Switch(DiskLayer active)
    {
        Node = NextNode;
        _freezes++;
        _frozen.Add(Active);
        Active = active;
    }

    /// <summary>A copy of the image's handle, for another sandbox on the same disk.</summary>
    internal SafeFileHandle ShareImage()
    {
        SafeFileHandle copy = Interop.Libc.Open(
            $"/proc/self/fd/{_image.DangerousGetHandle()}", Interop.Libc.O_RDONLY | Interop.Libc.O_CLOEXEC, 0);
        return copy.IsInvalid ? throw Interop.Errno.LastError("open an image anew") : copy;
    }

    public void Dispose()
    {
        CloseHanded();
        _image.Dispose();
        _frozen.ForEach(static layer => layer.Release());
        _frozen.Clear();
        Active.Release();
    }

    private SafeFileHandle Hand(SafeFileHandle handle)
    {
        _handed.Add(handle);
        return handle;
    }
}
