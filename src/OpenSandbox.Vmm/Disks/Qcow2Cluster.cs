namespace OpenSandbox.Vmm.Disks;

/// <summary>An entry of an L1 or L2 table.</summary>
/// <param name="Allocation">What it says.</param>
/// <param name="FileOffset">Where the content, or the L2 table, is; 0 unless it is <see cref="Qcow2Allocation.Data"/>.</param>
internal readonly record struct Qcow2Cluster(Qcow2Allocation Allocation, long FileOffset)
{
    private const ulong OffsetMask = 0x00FF_FFFF_FFFF_FE00;
    private const ulong Copied = 1UL << 63;
    private const ulong Compressed = 1UL << 62;
    private const ulong ReadsAsZero = 1;

    /// <summary>What an entry for a cluster that is only zeros looks like.</summary>
    internal const ulong ZeroEntry = ReadsAsZero;

    /// <summary>The entry for content, or a table, that is used once.</summary>
    internal static ulong EntryAt(long fileOffset) => (ulong)fileOffset | Copied;

    /// <summary>Reads an entry of an L2 table.</summary>
    /// <exception cref="Qcow2FormatException">It is compressed, uses reserved bits, or points out of the file.</exception>
    internal static Qcow2Cluster OfL2(ulong entry, long fileBytes)
    {
        if (entry == 0)
        {
            return default;
        }

        if ((entry & Compressed) != 0)
        {
            throw new Qcow2FormatException("compressed clusters");
        }

        ulong offset = entry & OffsetMask;
        bool zero = (entry & ReadsAsZero) != 0;
        if ((entry & ~(OffsetMask | Copied | ReadsAsZero)) != 0 || (offset == 0 && !zero))
        {
            throw new Qcow2FormatException($"an L2 entry is not valid (0x{entry:x16})");
        }

        if (offset != 0)
        {
            Check(offset, offset < (ulong)fileBytes, "a cluster", fileBytes);
        }

        return zero ? new Qcow2Cluster(Qcow2Allocation.Zero, 0) : new Qcow2Cluster(Qcow2Allocation.Data, (long)offset);
    }

    /// <summary>Reads an entry of the L1 table: <see cref="Qcow2Allocation.Unallocated"/>, or where the L2 table is.</summary>
    /// <exception cref="Qcow2FormatException">It uses reserved bits or points out of the file.</exception>
    internal static Qcow2Cluster OfL1(ulong entry, long fileBytes)
    {
        if (entry == 0)
        {
            return default;
        }

        ulong offset = entry & OffsetMask;
        if ((entry & ~(OffsetMask | Copied)) != 0 || offset == 0)
        {
            throw new Qcow2FormatException($"an L1 entry is not valid (0x{entry:x16})");
        }

        Check(offset, offset + Qcow2Header.ClusterSize <= (ulong)fileBytes, "an L2 table", fileBytes);
        return new Qcow2Cluster(Qcow2Allocation.Data, (long)offset);
    }

    private static void Check(ulong offset, bool inside, string what, long fileBytes)
    {
        if (!inside || offset % Qcow2Header.ClusterSize != 0)
        {
            throw new Qcow2FormatException($"{what} at 0x{offset:x} is not on a cluster inside the file of {fileBytes} bytes");
        }
    }
}
