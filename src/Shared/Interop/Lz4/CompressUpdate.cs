using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Lz4
{
    /// <summary>LZ4F_compressUpdate. <paramref name="options"/> is null: the source may change after the call.</summary>
    [LibraryImport(Library, EntryPoint = "LZ4F_compressUpdate")]
    internal static partial nuint CompressUpdate(
        Lz4CompressionContext context, ref byte destination, nuint capacity, ref readonly byte source, nuint length, nint options);
}
