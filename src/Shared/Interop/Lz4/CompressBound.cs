using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Lz4
{
    /// <summary>LZ4F_compressBound: the most that <see cref="CompressUpdate"/> writes, whatever the context still holds.</summary>
    [LibraryImport(Library, EntryPoint = "LZ4F_compressBound")]
    internal static partial nuint CompressBound(nuint length, in Lz4Preferences preferences);
}
