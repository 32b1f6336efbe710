using System.Numerics;
using System.Runtime.InteropServices;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>The content of a memory file's LZ4 frame: what a guest has changed since the golden snapshot. Little-endian throughout.</summary>
/// <remarks>
/// <code>
/// header   8 magic "OSBOXMEM" | u32 version | u32 page size | u64 0
/// record   u32 kind | u32 region | u64 a | u64 b         then, for data, b pages
///          kind 1  region   region = which, a = its size in bytes, b = 0
///          kind 2  data     region = 0, a = first page, b = pages (at least 1)
///          kind 3  zero     region = 0, a = first page, b = pages (at least 1)
///          kind 4  end      region = CRC-32C of all content before this record, a = data pages in all, b = zero pages in all
/// </code>
/// Each region stands at most once, in the order of <see cref="MemoryFileRegion"/>; runs ascend and do not overlap; nothing follows the end.
/// </remarks>
internal static class MemoryFileFormat
{
    internal const uint Version = 1;

    /// <summary>Bytes of a page.</summary>
    internal const int PageSize = 4096;

    internal const int HeaderLength = 24;
    internal const int RecordLength = 24;

    /// <summary>Most runs that a target gets at once: what process_vm_writev(2) takes (UIO_MAXIOV).</summary>
    internal const int MaxRunsPerBatch = 1024;

    internal const uint KindRegion = 1;
    internal const uint KindData = 2;
    internal const uint KindZero = 3;
    internal const uint KindEnd = 4;

    internal static ReadOnlySpan<byte> Magic => "OSBOXMEM"u8;

    /// <summary>What the CRC-32C begins with.</summary>
    internal const uint CrcSeed = uint.MaxValue;

    /// <summary>Goes on with a CRC-32C; by the processor's own instruction where it has one.</summary>
    /// <param name="crc">The value so far.</param>
    /// <param name="content">A multiple of 8 bytes, as records and pages are.</param>
    internal static uint Crc(uint crc, ReadOnlySpan<byte> content)
    {
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(content))
        {
            crc = BitOperations.Crc32C(crc, word);
        }

        return crc;
    }
}
