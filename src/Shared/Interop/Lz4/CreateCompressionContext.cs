using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Lz4
{
    /// <summary>LZ4F_createCompressionContext.</summary>
    [LibraryImport(Library, EntryPoint = "LZ4F_createCompressionContext")]
    internal static partial nuint CreateCompressionContext(out Lz4CompressionContext context, uint version);
}
