using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Compression;

/// <summary>
/// The one shape of LZ4 frame that is written and accepted here: independent blocks of at most 256 KiB, each with a checksum. <c>lz4 -d</c>
/// reads it.
/// </summary>
/// <remarks>
/// <code>
/// 04 22 4D 18 | 70 | 50 | 84 | blocks: u32 length (bit 31: stored as it is), data, u32 xxh32 of the data | u32 0
/// </code>
/// 256 KiB is large enough for the ratio to be that of larger blocks (the window of LZ4 is 64 KiB), and what is copied inside the library
/// stays in the processor's cache. Blocks that do not refer to earlier ones are decoded straight into the reader's buffer. There is no
/// checksum of the whole content, because liblz4's takes longer than the decompression itself (with it 1.1 GB/s, without 3.6): what goes into
/// a frame carries a faster (memory files: CRC-32C) or stronger one (archives: SHA-256) of its own, which also notices blocks that were
/// left out, repeated or relabelled.
/// </remarks>
internal static class Lz4Frame
{
    /// <summary>Most content of one block, bytes.</summary>
    internal const int BlockSize = 256 * 1024;

    /// <summary>Room that a header needs, bytes: LZ4F_HEADER_SIZE_MAX, which the library insists on.</summary>
    internal const int MaxHeaderLength = 19;

    private static readonly Lazy<HostPrerequisiteException?> s_missing = new(Probe);

    internal static Lz4Preferences Preferences => new()
    {
        BlockSizeId = Lz4Preferences.Block256KiB,
        BlockMode = Lz4Preferences.BlockIndependent,
        BlockChecksum = 1,
    };

    /// <summary>The bytes that every frame begins with; the last is the header's own checksum.</summary>
    internal static ReadOnlySpan<byte> Header => [0x04, 0x22, 0x4D, 0x18, 0x70, 0x50, 0x84];

    /// <summary>Checks that the system's liblz4 can be loaded.</summary>
    /// <exception cref="HostPrerequisiteException">It is not installed.</exception>
    internal static void EnsureAvailable()
    {
        if (s_missing.Value is HostPrerequisiteException missing)
        {
            throw new HostPrerequisiteException("liblz4.so.1 cannot be loaded", missing.Remedy, missing);
        }
    }

    internal static string Describe(nuint error) => Marshal.PtrToStringUTF8(Lz4.GetErrorName(error)) ?? "unknown error";

    private static HostPrerequisiteException? Probe()
    {
        try
        {
            _ = Lz4.IsError(0);
            return null;
        }
        catch (Exception absent) when (absent is DllNotFoundException or EntryPointNotFoundException)
        {
            return new HostPrerequisiteException("liblz4.so.1 cannot be loaded", "apt-get install liblz4-1", absent);
        }
    }
}
