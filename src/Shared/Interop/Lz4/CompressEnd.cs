using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Lz4
{
    /// <summary>LZ4F_compressEnd: what the context still holds, and the end mark.</summary>
    [LibraryImport(Library, EntryPoint = "LZ4F_compressEnd")]
    internal static partial nuint CompressEnd(Lz4CompressionContext context, ref byte destination, nuint capacity, nint options);
}
