using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

/// <summary>LZ4F_preferences_t with the LZ4F_frameInfo_t it begins with.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct Lz4Preferences
{
    internal const int Block256KiB = 5;
    internal const int BlockIndependent = 1;

    internal int BlockSizeId;
    internal int BlockMode;
    internal int ContentChecksum;
    internal int FrameType;
    internal ulong ContentSize;
    internal uint DictionaryId;
    internal int BlockChecksum;
    internal int CompressionLevel;
    internal uint AutoFlush;
    internal uint FavorDecompressionSpeed;
    internal uint Reserved0;
    internal uint Reserved1;
    internal uint Reserved2;
}
