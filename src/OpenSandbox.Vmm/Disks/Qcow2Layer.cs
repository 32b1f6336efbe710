using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Disks;

internal sealed class Qcow2Layer
{
    internal long VirtualBytes => throw new NotSupportedException();

    internal static Qcow2Layer Open(SafeFileHandle file, long expectedVirtualBytes) => throw new NotSupportedException();

    /// <summary>Walks the whole map: every table and cluster is inside the file and used once.</summary>
    internal Qcow2Usage Measure(CancellationToken cancellationToken) => throw new NotSupportedException();

    /// <summary>The whole disk, part by part, in order.</summary>
    internal IEnumerable<Qcow2Extent> Extents() => throw new NotSupportedException();
}
