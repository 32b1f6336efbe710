using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Lz4
{
    /// <summary>LZ4F_freeDecompressionContext. For <see cref="Lz4DecompressionContext"/> alone.</summary>
    [LibraryImport(Library, EntryPoint = "LZ4F_freeDecompressionContext")]
    internal static partial nuint FreeDecompressionContext(nint context);
}
