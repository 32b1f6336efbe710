using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Disks;

/// <summary>A disk at one instant: a raw image and the frozen layers above it. Any number of sandboxes can go on from it.</summary>
/// <remarks>Immutable and thread-safe; dispose it.</remarks>
internal sealed class FrozenDisk : IDisposable
{
    private readonly SafeFileHandle _image;

    /// <summary>Takes over the image's handle and the references to the layers.</summary>
    /// <param name="name"><c>rootfs</c> or <c>workspace</c>.</param>
    /// <param name="imageDigest">The image's digest.</param>
    /// <param name="image">The image, open for reading.</param>
    /// <param name="virtualBytes">Size of the disk.</param>
    /// <param name="layers">The layers, bottom to top.</param>
    internal FrozenDisk(string name, string imageDigest, SafeFileHandle image, long virtualBytes, IReadOnlyList<DiskLayer> layers)
    {
        Name = name;
        ImageDigest = imageDigest;
        _image = image;
        VirtualBytes = virtualBytes;
        Layers = layers;
    }

    /// <summary><c>rootfs</c> or <c>workspace</c>: the name of QEMU's block node, too.</summary>
    internal string Name { get; }

    internal string ImageDigest { get; }

    internal long VirtualBytes { get; }

    /// <summary>The layers, bottom to top.</summary>
    internal IReadOnlyList<DiskLayer> Layers { get; }

    /// <summary>A disk to write to that begins with this content.</summary>
    /// <param name="active">The empty layer that gets what is written; taken over.</param>
    internal SandboxDisk Extend(DiskLayer active)
    {
        try
        {
            return new SandboxDisk(Share(), active);
        }
        catch
        {
            active.Release();
            throw;
        }
    }

    /// <summary>The same, with handles and references of its own.</summary>
    /// <exception cref="IOException">The image cannot be opened anew.</exception>
    internal FrozenDisk Share() => With([]);

    /// <summary>The same with one more layer on top, with handles and references of its own.</summary>
    /// <exception cref="IOException">The image cannot be opened anew.</exception>
    internal FrozenDisk With(params ReadOnlySpan<DiskLayer> above)
    {
        SafeFileHandle image = OpenImage();
        return new FrozenDisk(Name, ImageDigest, image, VirtualBytes, [.. Layers.Concat(above.ToArray()).Select(static layer => layer.Share())]);
    }

    /// <summary>The image with a file position of its own.</summary>
    internal SafeFileHandle OpenImage()
    {
        SafeFileHandle image = Libc.Open($"/proc/self/fd/{_image.DangerousGetHandle()}", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (image.IsInvalid)
        {
            throw Errno.LastError($"open the image of {Name} anew");
        }

        // Tells that it is in use although no manifest may name it, as with layers. Whoever removes it holds the other lock for an instant only.
        return Libc.FLock(image, Libc.LOCK_SH | Libc.LOCK_NB) == 0 ? image : throw Dispose(image);
    }

    private IOException Dispose(SafeFileHandle image)
    {
        IOException failure = Errno.LastError($"flock of the image of {Name}, which is being removed");
        image.Dispose();
        return failure;
    }

    /// <summary>The image, for QEMU's command line; stays this object's.</summary>
    internal SafeFileHandle Image => _image;

    public void Dispose()
    {
        _image.Dispose();
        foreach (DiskLayer layer in Layers)
        {
            layer.Release();
        }
    }
}
