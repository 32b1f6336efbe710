using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Lz4
{
    /// <summary>LZ4F_compressBegin: writes the header of a frame.</summary>
    [LibraryImport(Library, EntryPoint = "LZ4F_compressBegin")]
    internal static partial nuint CompressBegin(Lz4CompressionContext context, ref byte destination, nuint capacity, in Lz4Preferences preferences);
}
