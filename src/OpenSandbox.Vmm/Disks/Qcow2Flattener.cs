using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Disks;

/// <summary>Makes one layer of several that lie on each other, with the same meaning above whatever is below them.</summary>
internal static class Qcow2Flattener
{
    /// <summary>
    /// Copies what the guest sees of the layers into a new image. Clusters that are marked as zero stay so, because they hide what is below
    /// the lowest layer; content that is all zero becomes such a mark.
    /// </summary>
    /// <param name="bottomToTop">At least one layer, of disks of the same size. The files must not change meanwhile.</param>
    /// <param name="target">An empty file, open for writing; stays the caller's, also its syncing. Worth nothing after an exception.</param>
    /// <param name="progress">
    /// Gets the bytes of content copied or found to be zero so far. They end at no more than the sum of <see cref="Qcow2Usage.DataBytes"/>
    /// of the layers. Called on the copying thread: must be quick.
    /// </param>
    /// <param name="cancellationToken">Stops between two batches of at most 4 MiB.</param>
    /// <returns>What the new image holds.</returns>
    /// <exception cref="Qcow2FormatException">A layer is damaged.</exception>
    /// <exception cref="IOException">A file cannot be read or written, for instance because the disk is full.</exception>
    internal static Task<Qcow2Usage> FlattenAsync(
        IReadOnlyList<Qcow2Layer> bottomToTop, SafeFileHandle target, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfZero(bottomToTop.Count, nameof(bottomToTop));
        if (bottomToTop.Any(layer => layer.VirtualBytes != bottomToTop[0].VirtualBytes))
        {
            throw new ArgumentException("the layers are of disks of different sizes", nameof(bottomToTop));
        }

        if (RandomAccess.GetLength(target) != 0)
        {
            throw new ArgumentException("the file is not empty", nameof(target));
        }

        var run = new Qcow2FlattenRun([.. bottomToTop.Reverse()], target, progress);

        // Minutes of reading and writing: on a thread of its own.
        return Task.Factory.StartNew(
            () => run.Run(cancellationToken), cancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }
}
