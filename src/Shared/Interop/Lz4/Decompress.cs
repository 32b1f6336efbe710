using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Lz4
{
    /// <summary>LZ4F_decompress: both lengths go in as what there is and come out as what was used; 0 when the frame has ended.</summary>
    [LibraryImport(Library, EntryPoint = "LZ4F_decompress")]
    internal static partial nuint Decompress(
        Lz4DecompressionContext context, ref byte destination, ref nuint written, ref readonly byte source, ref nuint consumed, nint options);
}
