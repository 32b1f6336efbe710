namespace OpenSandbox.Vmm.Disks;

/// <summary>The disks of a sandbox that runs.</summary>
/// <param name="Rootfs">The root disk, if any.</param>
/// <param name="Workspace">The workspace, if any.</param>
internal sealed record SandboxDisks(SandboxDisk? Rootfs, SandboxDisk? Workspace) : IDisposable
{
    /// <summary>Those that there are.</summary>
    internal IEnumerable<SandboxDisk> All
    {
        get
        {
            if (Rootfs is not null)
            {
                yield return Rootfs;
            }

            if (Workspace is not null)
            {
                yield return Workspace;
            }
        }
    }

    /// <summary>QEMU has been started: it has its own copies of the handles.</summary>
    internal void CloseHanded()
    {
        Rootfs?.CloseHanded();
        Workspace?.CloseHanded();
    }

    public void Dispose()
    {
        Rootfs?.Dispose();
        Workspace?.Dispose();
    }
}
