using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Disks;

/// <summary>
/// Writes a qcow2 image from front to back: content as it comes, each L2 table behind its content, refcounts at the end, and the header last
/// of all, so that what is not finished is no image.
/// </summary>
/// <remarks>
/// <code>
/// header | L1 table | content, L2 table, content, L2 table, ... | refcount blocks | refcount table
/// </code>
/// Every cluster of the file is used once.
/// </remarks>
internal sealed class Qcow2Writer
{
    private const int RefcountsPerBlock = Qcow2Header.ClusterSize / sizeof(ushort);
    private const int BlocksPerTable = Qcow2Header.ClusterSize / sizeof(ulong);
    private const long L1Offset = Qcow2Header.ClusterSize;

    private readonly SafeFileHandle _file;
    private readonly long _virtualBytes;
    private readonly ulong[] _l1;
    private long _position;

    /// <param name="file">An empty file, open for writing; stays the caller's.</param>
    /// <param name="virtualBytes">Size of the disk.</param>
    internal Qcow2Writer(SafeFileHandle file, long virtualBytes)
    {
        _file = file;
        _virtualBytes = virtualBytes;
        _l1 = new ulong[(virtualBytes + Qcow2Header.BytesPerL2 - 1) / Qcow2Header.BytesPerL2];
        _position = L1Offset + Align(_l1.Length * (long)sizeof(ulong));
    }

    /// <summary>Appends content.</summary>
    /// <param name="clusters">Whole clusters.</param>
    /// <returns>Where the first of them is in the file.</returns>
    internal long Append(ReadOnlySpan<byte> clusters)
    {
        long offset = _position;
        RandomAccess.Write(_file, clusters, offset);
        _position += clusters.Length;
        return offset;
    }

    /// <summary>Appends an L2 table.</summary>
    internal void AppendTable(int index, ReadOnlySpan<ulong> entries) => _l1[index] = Qcow2Cluster.EntryAt(AppendEntries(entries));

    /// <summary>Writes everything that is still missing.</summary>
    /// <returns>Length of the file.</returns>
    internal long Finish()
    {
        // Blocks and their table count themselves.
        long used = _position / Qcow2Header.ClusterSize, blocks = 0, tables = 0, total;
        do
        {
            total = used + blocks + tables;
            blocks = DivideUp(total, RefcountsPerBlock);
            tables = DivideUp(blocks, BlocksPerTable);
        }
        while (used + blocks + tables != total);

        ulong[] table = new ulong[tables * BlocksPerTable];
        byte[] block = new byte[Qcow2Header.ClusterSize];
        Span<ushort> counts = MemoryMarshal.Cast<byte, ushort>(block.AsSpan());
        counts.Fill(BinaryPrimitives.ReverseEndianness((ushort)1));
        for (long at = 0; at < blocks; at++)
        {
            counts[(int)Math.Min(RefcountsPerBlock, total - (at * RefcountsPerBlock))..].Clear();
            table[at] = (ulong)Append(block);
        }

        long tableOffset = AppendEntries(table);
        long fileBytes = _position;
        RandomAccess.Write(_file, BigEndian(_l1), L1Offset);
        RandomAccess.SetLength(_file, fileBytes);
        WriteHeader(tableOffset, (int)tables);
        return fileBytes;
    }

    private long AppendEntries(ReadOnlySpan<ulong> entries) => Append(BigEndian(entries));

    private static byte[] BigEndian(ReadOnlySpan<ulong> entries)
    {
        byte[] bytes = new byte[entries.Length * sizeof(ulong)];
        for (int at = 0; at < entries.Length; at++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(at * sizeof(ulong)), entries[at]);
        }

        return bytes;
    }

    private void WriteHeader(long refcountTable, int refcountClusters)
    {
        Span<byte> header = stackalloc byte[Qcow2Header.BaseLength + 8]; // the 8 zero bytes behind are the "no more extensions" mark
        header.Clear();
        BinaryPrimitives.WriteUInt32BigEndian(header, Qcow2Header.Magic);
        BinaryPrimitives.WriteUInt32BigEndian(header[4..], 3);
        BinaryPrimitives.WriteUInt32BigEndian(header[20..], Qcow2Header.ClusterBits);
        BinaryPrimitives.WriteInt64BigEndian(header[24..], _virtualBytes);
        BinaryPrimitives.WriteInt32BigEndian(header[36..], _l1.Length);
        BinaryPrimitives.WriteInt64BigEndian(header[40..], L1Offset);
        BinaryPrimitives.WriteInt64BigEndian(header[48..], refcountTable);
        BinaryPrimitives.WriteInt32BigEndian(header[56..], refcountClusters);
        BinaryPrimitives.WriteUInt32BigEndian(header[96..], Qcow2Header.RefcountOrder);
        BinaryPrimitives.WriteUInt32BigEndian(header[100..], Qcow2Header.BaseLength);
        RandomAccess.Write(_file, header, 0);
    }

    private static long Align(long bytes) => DivideUp(bytes, Qcow2Header.ClusterSize) * Qcow2Header.ClusterSize;

    private static long DivideUp(long value, long by) => (value + by - 1) / by;
}
