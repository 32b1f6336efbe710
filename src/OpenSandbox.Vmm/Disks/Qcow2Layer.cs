using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Disks;

/// <summary>
/// One layer of a sandbox's disk: a qcow2 image that names no other file. It was written by a QEMU that may have been taken over, so that
/// every field is checked each time it is read, also when the file changes meanwhile. Tables are read as they are needed: 64 KiB at a time,
/// and the L1 table, which has 16 KiB for each TiB.
/// </summary>
/// <remarks>Safe for use by several threads at once. Format: QEMU's docs/interop/qcow2.txt.</remarks>
internal sealed class Qcow2Layer
{
    // A layer cannot need more than its disk has, and tables. Twice that is for clusters that were freed and not used again.
    private const long SlackBytes = 1L << 30;

    private readonly Qcow2Header _header;
    private readonly ulong[] _l1;

    private Qcow2Layer(SafeFileHandle file, long fileBytes, Qcow2Header header, ulong[] l1)
    {
        File = file;
        FileBytes = fileBytes;
        _header = header;
        _l1 = l1;
    }

    /// <summary>Size of the disk, bytes.</summary>
    internal long VirtualBytes => _header.VirtualBytes;

    /// <summary>Length that the file had when it was opened, bytes. Nothing behind it is read.</summary>
    internal long FileBytes { get; }

    internal SafeFileHandle File { get; }

    /// <summary>How many L2 tables the disk can have.</summary>
    internal int TableCount => _l1.Length;

    /// <summary>Reads and checks the header and the L1 table.</summary>
    /// <param name="file">Open for reading; stays the caller's and must outlive the layer.</param>
    /// <param name="expectedVirtualBytes">What the size of the disk must be, bytes; 512 or more, a multiple of 512.</param>
    /// <exception cref="Qcow2FormatException">The image is damaged, or of a kind that is not accepted.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    internal static Qcow2Layer Open(SafeFileHandle file, long expectedVirtualBytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(expectedVirtualBytes, 512);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(expectedVirtualBytes, Qcow2Overlay.MaxVirtualSize);
        ArgumentOutOfRangeException.ThrowIfNotEqual(expectedVirtualBytes % 512, 0, nameof(expectedVirtualBytes));
        long fileBytes = RandomAccess.GetLength(file);
        if (fileBytes > (2 * expectedVirtualBytes) + SlackBytes)
        {
            throw new Qcow2FormatException($"a file of {fileBytes} bytes for a disk of {expectedVirtualBytes}");
        }

        Qcow2Header header = Qcow2Header.Read(file, fileBytes, expectedVirtualBytes);
        ulong[] l1 = new ulong[(expectedVirtualBytes + Qcow2Header.BytesPerL2 - 1) / Qcow2Header.BytesPerL2];
        ReadTable(file, header.L1Offset, l1);
        foreach (ulong entry in l1)
        {
            _ = Qcow2Cluster.OfL1(entry, fileBytes);
        }

        return new Qcow2Layer(file, fileBytes, header, l1);
    }

    /// <summary>Walks the whole map: every table and every cluster with content is inside the file and used once.</summary>
    /// <exception cref="Qcow2FormatException">It is not so.</exception>
    internal Qcow2Usage Measure(CancellationToken cancellationToken)
    {
        Qcow2Claims claims = NewClaims();
        ulong[] table = new ulong[Qcow2Header.L2Entries];
        long data = 0, zero = 0;
        for (int index = 0; index < TableCount; index++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (!TryReadTable(index, table, claims))
            {
                continue;
            }

            foreach (ulong entry in table.AsSpan(0, EntriesOf(index)))
            {
                Qcow2Cluster cluster = ReadEntry(entry, claims);
                data += cluster.Allocation == Qcow2Allocation.Data ? Qcow2Header.ClusterSize : 0;
                zero += cluster.Allocation == Qcow2Allocation.Zero ? Qcow2Header.ClusterSize : 0;
            }
        }

        return new Qcow2Usage(FileBytes, data, zero);
    }

    /// <summary>The whole disk, part by part, in order and without gaps.</summary>
    /// <exception cref="Qcow2FormatException">While it is walked: the map is damaged.</exception>
    internal IEnumerable<Qcow2Extent> Extents()
    {
        ulong[] table = new ulong[Qcow2Header.L2Entries];
        var current = default(Qcow2Extent);
        for (int index = 0; index < TableCount; index++)
        {
            long start = index * Qcow2Header.BytesPerL2;
            int entries = EntriesOf(index);
            bool present = TryReadTable(index, table, claims: null);
            for (int at = 0; at < entries; at++)
            {
                // Without a table it is one step.
                int step = present ? 1 : entries;
                Qcow2Cluster cluster = present ? Qcow2Cluster.OfL2(table[at], FileBytes) : default;
                long offset = start + ((long)at * Qcow2Header.ClusterSize);
                long length = Math.Min((long)step * Qcow2Header.ClusterSize, VirtualBytes - offset);
                at += step - 1;
                bool goesOn = cluster.Allocation == current.Allocation
                    && (cluster.Allocation != Qcow2Allocation.Data || cluster.FileOffset == current.FileOffset + current.Length);
                if (goesOn)
                {
                    current = current with { Length = current.Length + length };
                    continue;
                }

                if (current.Length > 0)
                {
                    yield return current;
                }

                current = new Qcow2Extent(cluster.Allocation, offset, length, cluster.FileOffset);
            }
        }

        yield return current;
    }

    /// <summary>What is in use besides tables and content, as the beginning of a walk that notices what is used twice.</summary>
    internal Qcow2Claims NewClaims()
    {
        var claims = new Qcow2Claims(FileBytes);
        claims.Claim(0, Qcow2Header.ClusterSize);
        claims.Claim(_header.L1Offset, _header.L1Entries * (long)sizeof(ulong));
        claims.Claim(_header.RefcountOffset, _header.RefcountClusters * (long)Qcow2Header.ClusterSize);
        return claims;
    }

    /// <summary>How many entries of an L2 table belong to the disk.</summary>
    internal int EntriesOf(int index)
    {
        long clusters = (VirtualBytes + Qcow2Header.ClusterSize - 1) / Qcow2Header.ClusterSize;
        return (int)Math.Min(Qcow2Header.L2Entries, clusters - ((long)index * Qcow2Header.L2Entries));
    }

    /// <summary>Reads an L2 table; false if there is none.</summary>
    internal bool TryReadTable(int index, ulong[] table, Qcow2Claims? claims)
    {
        Qcow2Cluster where = Qcow2Cluster.OfL1(_l1[index], FileBytes);
        if (where.Allocation == Qcow2Allocation.Unallocated)
        {
            return false;
        }

        claims?.Claim(where.FileOffset, Qcow2Header.ClusterSize);
        ReadTable(File, where.FileOffset, table);
        return true;
    }

    /// <summary>Understands an entry of an L2 table and claims what it points to.</summary>
    internal Qcow2Cluster ReadEntry(ulong entry, Qcow2Claims claims)
    {
        Qcow2Cluster cluster = Qcow2Cluster.OfL2(entry, FileBytes);
        if (cluster.Allocation == Qcow2Allocation.Data)
        {
            claims.Claim(cluster.FileOffset, Qcow2Header.ClusterSize);
        }

        return cluster;
    }

    /// <summary>Reads content; zeros where the file ends within its last cluster.</summary>
    internal void ReadContent(Span<byte> destination, long fileOffset)
    {
        int available = (int)Math.Min(destination.Length, Math.Max(0, FileBytes - fileOffset));
        int count = ReadAvailable(File, destination[..available], fileOffset);
        if (count < available)
        {
            throw new Qcow2FormatException($"the file was cut to {fileOffset + count} bytes while it was read");
        }

        destination[available..].Clear();
    }

    /// <summary>Reads until the destination is full or the file ends.</summary>
    internal static int ReadAvailable(SafeFileHandle file, Span<byte> destination, long offset)
    {
        int total = 0;
        while (total < destination.Length)
        {
            int count = RandomAccess.Read(file, destination[total..], offset + total);
            if (count == 0)
            {
                break;
            }

            total += count;
        }

        return total;
    }

    private static void ReadTable(SafeFileHandle file, long offset, ulong[] table)
    {
        Span<byte> bytes = MemoryMarshal.AsBytes(table.AsSpan());
        if (ReadAvailable(file, bytes, offset) < bytes.Length)
        {
            throw new Qcow2FormatException($"the file was cut short while the table at 0x{offset:x} was read");
        }

        if (BitConverter.IsLittleEndian)
        {
            BinaryPrimitives.ReverseEndianness(table, table);
        }
    }
}
