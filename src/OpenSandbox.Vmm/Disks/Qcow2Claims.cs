namespace OpenSandbox.Vmm.Disks;

/// <summary>
/// Which clusters of a layer's file have been found in use, each at most once: a table that stands in two places, or content that is
/// repeated over and over, could otherwise make a small file as large as its disk. One bit a cluster: 2 KiB for each GiB.
/// </summary>
internal sealed class Qcow2Claims(long fileBytes)
{
    private readonly ulong[] _used = new ulong[(((fileBytes + Qcow2Header.ClusterSize - 1) / Qcow2Header.ClusterSize) + 63) / 64];

    /// <summary>Claims consecutive clusters that lie inside the file.</summary>
    /// <exception cref="Qcow2FormatException">One of them is in use already.</exception>
    internal void Claim(long offset, long length)
    {
        long end = (offset + length + Qcow2Header.ClusterSize - 1) / Qcow2Header.ClusterSize;
        for (long cluster = offset / Qcow2Header.ClusterSize; cluster < end; cluster++)
        {
            ulong bit = 1UL << (int)(cluster % 64);
            ref ulong word = ref _used[cluster / 64];
            if ((word & bit) != 0)
            {
                throw new Qcow2FormatException($"the cluster at 0x{cluster * Qcow2Header.ClusterSize:x} is used twice");
            }

            word |= bit;
        }
    }
}
