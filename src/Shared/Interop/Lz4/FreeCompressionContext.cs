using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Lz4
{
    /// <summary>LZ4F_freeCompressionContext. For <see cref="Lz4CompressionContext"/> alone.</summary>
    [LibraryImport(Library, EntryPoint = "LZ4F_freeCompressionContext")]
    internal static partial nuint FreeCompressionContext(nint context);
}
