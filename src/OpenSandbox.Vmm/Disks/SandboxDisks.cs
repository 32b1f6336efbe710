using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Disks;

/// <summary>The files behind a sandbox's disks while QEMU is being started: it inherits them, and ours are closed afterwards.</summary>
internal sealed class SandboxDisks : IDisposable
{
    private (SafeFileHandle Overlay, SafeFileHandle Base)? _rootfs;
    private (SafeFileHandle Overlay, SafeFileHandle Base)? _workspace;

    /// <summary>Puts a fresh overlay above an image; takes ownership of the image's handle.</summary>
    internal void AddRootfs(SafeFileHandle image, string directory, long diskBytes) => _rootfs = Stack(image, directory, diskBytes);

    /// <summary>Puts a fresh overlay above the empty workspace; takes ownership of its handle.</summary>
    internal void AddWorkspace(SafeFileHandle image, string directory, long diskBytes) => _workspace = Stack(image, directory, diskBytes);

    internal DiskDescriptors? DescribeRootfs(VmDescriptors descriptors) => Describe(_rootfs, descriptors);

    internal DiskDescriptors? DescribeWorkspace(VmDescriptors descriptors) => Describe(_workspace, descriptors);

    public void Dispose()
    {
        _rootfs?.Overlay.Dispose();
        _rootfs?.Base.Dispose();
        _workspace?.Overlay.Dispose();
        _workspace?.Base.Dispose();
    }

    private static DiskDescriptors? Describe((SafeFileHandle Overlay, SafeFileHandle Base)? disk, VmDescriptors descriptors) =>
        disk is (SafeFileHandle overlay, SafeFileHandle below)
            ? new DiskDescriptors(descriptors.Add(overlay), descriptors.Add(below))
            : null;

    private static (SafeFileHandle Overlay, SafeFileHandle Base) Stack(SafeFileHandle image, string directory, long diskBytes)
    {
        SafeFileHandle? overlay = null;
        try
        {
            overlay = UnnamedFile.Create(directory);
            Qcow2Overlay.Format(overlay, diskBytes);
            return (overlay, image);
        }
        catch
        {
            overlay?.Dispose();
            image.Dispose();
            throw;
        }
    }
}
