using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Disks;

internal static class Qcow2Flattener
{
    /// <summary>Progress: bytes of layer content looked at so far; the total is the sum of the layers' Measure().DataBytes at most.</summary>
    internal static Task<Qcow2Usage> FlattenAsync(
        IReadOnlyList<Qcow2Layer> bottomToTop, SafeFileHandle target, IProgress<long>? progress, CancellationToken cancellationToken) =>
        throw new NotSupportedException();
}
