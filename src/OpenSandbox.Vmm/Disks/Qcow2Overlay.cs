using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Disks;

/// <summary>
/// Writes an empty qcow2 image: a header, one refcount block and an empty L1 table. No process is started for it, because it is on the
/// path of every create (qemu-img takes 15-20 ms).
/// </summary>
/// <remarks>
/// The header names no backing file: which layer lies below is said by the sandbox's own description, never by the image, so that no byte
/// of an image that a guest's VMM has written can make a host open a file. Format: QEMU's docs/interop/qcow2.txt, version 3.
/// </remarks>
internal static class Qcow2Overlay
{
    private const int ClusterBits = 16;
    private const int ClusterSize = 1 << ClusterBits;
    private const int HeaderLength = 104;
    private const uint Magic = 0x514649FB;
    private const int RefcountOrder = 4;
    private const long RefcountTableOffset = ClusterSize;
    private const long RefcountBlockOffset = 2 * ClusterSize;
    private const long L1TableOffset = 3 * ClusterSize;

    /// <summary>Largest virtual size whose L1 table fits into one cluster: 4 TiB.</summary>
    internal const long MaxVirtualSize = (long)(ClusterSize / sizeof(ulong)) * BytesPerL1Entry;

    private const long BytesPerL1Entry = (long)ClusterSize * (ClusterSize / sizeof(ulong));

    /// <summary>Writes the image to an empty file.</summary>
    /// <param name="file">An empty file, open for writing.</param>
    /// <param name="virtualSize">Size of the disk that the guest sees, bytes; a multiple of 512.</param>
    /// <exception cref="IOException">The file system refused, for instance because it is full.</exception>
    internal static void Format(SafeFileHandle file, long virtualSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(virtualSize, 512);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(virtualSize, MaxVirtualSize);
        ArgumentOutOfRangeException.ThrowIfNotEqual(virtualSize % 512, 0, nameof(virtualSize));

        Span<byte> header = stackalloc byte[HeaderLength + 8]; // the 8 zero bytes behind are the "no more extensions" mark
        header.Clear();
        BinaryPrimitives.WriteUInt32BigEndian(header, Magic);
        BinaryPrimitives.WriteUInt32BigEndian(header[4..], 3);
        BinaryPrimitives.WriteUInt32BigEndian(header[20..], ClusterBits);
        BinaryPrimitives.WriteInt64BigEndian(header[24..], virtualSize);
        BinaryPrimitives.WriteUInt32BigEndian(header[36..], (uint)((virtualSize + BytesPerL1Entry - 1) / BytesPerL1Entry));
        BinaryPrimitives.WriteInt64BigEndian(header[40..], L1TableOffset);
        BinaryPrimitives.WriteInt64BigEndian(header[48..], RefcountTableOffset);
        BinaryPrimitives.WriteUInt32BigEndian(header[56..], 1);
        BinaryPrimitives.WriteUInt32BigEndian(header[96..], RefcountOrder);
        BinaryPrimitives.WriteUInt32BigEndian(header[100..], HeaderLength);

        Span<byte> entry = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteInt64BigEndian(entry, RefcountBlockOffset);
        Span<byte> refcounts = stackalloc byte[4 * sizeof(ushort)]; // header, refcount table, refcount block, L1 table
        for (int cluster = 0; cluster < 4; cluster++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(refcounts[(cluster * sizeof(ushort))..], 1);
        }

        if (Libc.FTruncate(file, 4 * ClusterSize) != 0)
        {
            throw Errno.LastError("ftruncate of a new qcow2 overlay");
        }

        RandomAccess.Write(file, entry, RefcountTableOffset);
        RandomAccess.Write(file, refcounts, RefcountBlockOffset);
        RandomAccess.Write(file, header, 0);
    }
}
