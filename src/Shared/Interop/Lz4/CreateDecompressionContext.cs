using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Lz4
{
    /// <summary>LZ4F_createDecompressionContext.</summary>
    [LibraryImport(Library, EntryPoint = "LZ4F_createDecompressionContext")]
    internal static partial nuint CreateDecompressionContext(out Lz4DecompressionContext context, uint version);
}
