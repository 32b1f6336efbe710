namespace OpenSandbox.Vmm.Disks;

/// <summary>The disks of a sandbox at one instant.</summary>
/// <param name="Rootfs">The root disk, if any.</param>
/// <param name="Workspace">The workspace, if any.</param>
internal sealed record FrozenDisks(FrozenDisk? Rootfs, FrozenDisk? Workspace) : IDisposable
{
    /// <summary>Disks to write to that begin with this content.</summary>
    /// <param name="newLayer">Makes an empty layer of so many bytes.</param>
    /// <exception cref="IOException">A layer cannot be made.</exception>
    internal SandboxDisks Extend(Func<long, DiskLayer> newLayer)
    {
        SandboxDisk? rootfs = Rootfs?.Extend(newLayer(Rootfs.VirtualBytes));
        try
        {
            return new SandboxDisks(rootfs, Workspace?.Extend(newLayer(Workspace.VirtualBytes)));
        }
        catch
        {
            rootfs?.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Checks the layers before another QEMU opens them: they were written by one whose guest may have taken it over, and no byte of them may
    /// make the next one open a file.
    /// </summary>
    /// <exception cref="Qcow2FormatException">A layer is not what this library makes.</exception>
    internal void Validate()
    {
        foreach (FrozenDisk disk in new[] { Rootfs, Workspace }.OfType<FrozenDisk>())
        {
            foreach (DiskLayer layer in disk.Layers)
            {
                Qcow2Layer.Open(layer.File, disk.VirtualBytes);
            }
        }
    }

    /// <summary>The same, with handles and references of its own.</summary>
    /// <exception cref="IOException">An image cannot be opened anew.</exception>
    internal FrozenDisks Share()
    {
        FrozenDisk? rootfs = Rootfs?.Share();
        try
        {
            return new FrozenDisks(rootfs, Workspace?.Share());
        }
        catch
        {
            rootfs?.Dispose();
            throw;
        }
    }

    /// <summary>The layers of all disks.</summary>
    internal IEnumerable<DiskLayer> AllLayers => (Rootfs?.Layers ?? []).Concat(Workspace?.Layers ?? []);

    public void Dispose()
    {
        Rootfs?.Dispose();
        Workspace?.Dispose();
    }
}
