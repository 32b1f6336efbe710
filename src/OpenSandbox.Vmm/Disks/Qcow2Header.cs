using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Vmm.Disks;

/// <summary>
/// The header of a layer, read strictly: only what <see cref="Qcow2Overlay"/> writes and QEMU makes of it is accepted. Everything that could
/// make a reader open another file, or interpret content in another way, is refused by name.
/// </summary>
/// <param name="VirtualBytes">Size of the disk.</param>
/// <param name="L1Offset">Where the L1 table is.</param>
/// <param name="L1Entries">How many entries it has; at least what the disk needs.</param>
/// <param name="RefcountOffset">Where the refcount table is.</param>
/// <param name="RefcountClusters">Its length in clusters.</param>
internal readonly record struct Qcow2Header(long VirtualBytes, long L1Offset, int L1Entries, long RefcountOffset, int RefcountClusters)
{
    internal const int ClusterBits = 16;
    internal const int ClusterSize = 1 << ClusterBits;
    internal const uint Magic = 0x514649FB;
    internal const int BaseLength = 104;
    internal const int RefcountOrder = 4;

    /// <summary>Entries of an L2 table.</summary>
    internal const int L2Entries = ClusterSize / sizeof(ulong);

    /// <summary>Bytes of the disk for which one L2 table stands: 512 MiB.</summary>
    internal const long BytesPerL2 = (long)L2Entries * ClusterSize;

    // QEMU writes two at most. All of them must be in the first cluster.
    private const int MaxExtensions = 16;
    // One is enough for 16 TiB.
    private const int MaxRefcountClusters = 16;

    private const uint ExtensionEnd = 0;
    private const uint ExtensionBackingFormat = 0xE2792ACA;
    private const uint ExtensionFeatureNames = 0x6803F857;
    private const uint ExtensionBitmaps = 0x23852875;
    private const uint ExtensionEncryption = 0x0537BE77;
    private const uint ExtensionDataFile = 0x44415441;

    private static readonly (int Bit, string Name)[] s_incompatible =
        [(0, "dirty"), (1, "corrupt"), (2, "external data file"), (3, "compression type"), (4, "extended L2 entries")];

    /// <summary>Reads and checks a header.</summary>
    /// <param name="file">The layer.</param>
    /// <param name="fileBytes">Its length.</param>
    /// <param name="expectedVirtualBytes">The size that the disk must have.</param>
    /// <exception cref="Qcow2FormatException">The header is not acceptable.</exception>
    internal static Qcow2Header Read(SafeFileHandle file, long fileBytes, long expectedVirtualBytes)
    {
        byte[] cluster = new byte[ClusterSize];
        int length = Qcow2Layer.ReadAvailable(file, cluster, 0);
        ReadOnlySpan<byte> bytes = cluster.AsSpan(0, length);
        Require(length >= BaseLength, $"it has {length} bytes, less than a header");
        Require(U32(bytes, 0) == Magic, "it does not begin as a qcow2 image");
        Require(U32(bytes, 4) == 3, $"version {U32(bytes, 4)}; only 3 is accepted");
        Require(U64(bytes, 8) == 0 && U32(bytes, 16) == 0, "it names a backing file");
        Require(U32(bytes, 20) == ClusterBits, $"cluster bits {U32(bytes, 20)}; only {ClusterBits} is accepted");
        Require(U32(bytes, 32) == 0, $"encryption method {U32(bytes, 32)}");
        CheckFeatures(bytes);
        Require(U32(bytes, 60) == 0 && U64(bytes, 64) == 0, $"it has {U32(bytes, 60)} internal snapshots, or a table of them");
        Require(U32(bytes, 96) == RefcountOrder, $"refcount order {U32(bytes, 96)}; only {RefcountOrder} is accepted");
        Require(U64(bytes, 24) == (ulong)expectedVirtualBytes, $"a virtual size of {U64(bytes, 24)} bytes where {expectedVirtualBytes} were expected");

        uint headerLength = U32(bytes, 100);
        Require(headerLength is 104 or 112, $"a header of {headerLength} bytes");
        Require(headerLength <= length, "it ends within the header");
        Require(!bytes[BaseLength..(int)headerLength].ContainsAnyExcept((byte)0), "a compression type other than zlib, or padding that is not zero");
        CheckExtensions(bytes, (int)headerLength);

        long l1Needed = (expectedVirtualBytes + BytesPerL2 - 1) / BytesPerL2;
        uint l1Entries = U32(bytes, 36);
        Require(
            l1Entries >= l1Needed && l1Entries <= Math.Max(l1Needed, Qcow2Overlay.MaxVirtualSize / BytesPerL2),
            $"an L1 table of {l1Entries} entries where {l1Needed} are needed");
        long l1Offset = TableOffset(U64(bytes, 40), l1Entries * (long)sizeof(ulong), fileBytes, "L1 table");

        uint refcountClusters = U32(bytes, 56);
        Require(refcountClusters is >= 1 and <= MaxRefcountClusters, $"a refcount table of {refcountClusters} clusters");
        long refcountOffset = TableOffset(U64(bytes, 48), refcountClusters * (long)ClusterSize, fileBytes, "refcount table");
        return new Qcow2Header(expectedVirtualBytes, l1Offset, (int)l1Entries, refcountOffset, (int)refcountClusters);
    }

    private static void CheckFeatures(ReadOnlySpan<byte> bytes)
    {
        ulong incompatible = U64(bytes, 72);
        foreach ((int bit, string name) in s_incompatible)
        {
            Require((incompatible & (1UL << bit)) == 0, $"incompatible feature '{name}'");
        }

        Require(incompatible == 0, $"unknown incompatible features 0x{incompatible:x}");

        // Bit 0 is lazy refcounts, which QEMU turns off by default and which would leave the dirty bit behind.
        Require(U64(bytes, 80) == 0, $"compatible features 0x{U64(bytes, 80):x}");
        Require(U64(bytes, 88) == 0, $"auto-clear features 0x{U64(bytes, 88):x} (bitmaps or raw external data)");
    }

    private static void CheckExtensions(ReadOnlySpan<byte> bytes, int position)
    {
        for (int count = 0; count < MaxExtensions; count++)
        {
            Require(position + 8 <= bytes.Length, "its header extensions do not end");
            uint type = U32(bytes, position);
            uint length = U32(bytes, position + 4);
            position += 8;
            switch (type)
            {
                case ExtensionEnd:
                    return;
                case ExtensionFeatureNames:
                    break;
                case ExtensionBackingFormat:
                    throw new Qcow2FormatException("header extension 'backing file format'");
                case ExtensionBitmaps:
                    throw new Qcow2FormatException("header extension 'bitmaps'");
                case ExtensionEncryption:
                    throw new Qcow2FormatException("header extension 'full disk encryption'");
                case ExtensionDataFile:
                    throw new Qcow2FormatException("header extension 'external data file'");
                default:
                    throw new Qcow2FormatException($"unknown header extension 0x{type:x8}");
            }

            Require(length <= bytes.Length - position, "a header extension is longer than the first cluster");
            position += ((int)length + 7) & ~7;
        }

        throw new Qcow2FormatException($"more than {MaxExtensions} header extensions");
    }

    private static long TableOffset(ulong offset, long length, long fileBytes, string table)
    {
        Require(
            offset >= ClusterSize && offset % ClusterSize == 0 && offset <= (ulong)fileBytes && length <= fileBytes - (long)offset,
            $"its {table} (at 0x{offset:x}, {length} bytes) is not inside the file of {fileBytes} bytes");
        return (long)offset;
    }

    private static void Require(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new Qcow2FormatException(otherwise);
        }
    }

    private static uint U32(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt32BigEndian(bytes[at..]);

    private static ulong U64(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt64BigEndian(bytes[at..]);
}
