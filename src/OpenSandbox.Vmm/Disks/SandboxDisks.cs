namespace OpenSandbox.Vmm.Disks;

/// <summary>The disks of a sandbox that runs.</summary>
/// <param name="Rootfs">The root disk, if any.</param>
/// <param name="Workspace">The workspace, if any.</param>
internal sealed record SandboxDisks(SandboxDisk? Rootfs, SandboxDisk? Workspace) : IDisposable
{
    /// <summary>Those that there are.</summary>
    internal IReadOnlyList<SandboxDisk> All { get; } = [.. new[] { Rootfs, Workspace }.OfType<SandboxDisk>()];

    /// <summary>QEMU has been started: it has its own copies of the handles.</summary>
    internal void CloseHanded()
    {
        Rootfs?.CloseHanded();
        Workspace?.CloseHanded();
    }

    /// <summary>All of them as they are, for when nobody writes to the active layers any more.</summary>
    internal FrozenDisks Freeze() => Take(static disk => disk.Freeze());

    /// <summary>What lies below the active layers.</summary>
    internal FrozenDisks ShareBelow() => Take(static disk => disk.Below.Share());

    public void Dispose()
    {
        Rootfs?.Dispose();
        Workspace?.Dispose();
    }

    private FrozenDisks Take(Func<SandboxDisk, FrozenDisk> take)
    {
        FrozenDisk? rootfs = Rootfs is null ? null : take(Rootfs);
        try
        {
            return new FrozenDisks(rootfs, Workspace is null ? null : take(Workspace));
        }
        catch
        {
            rootfs?.Dispose();
            throw;
        }
    }
}
