using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Lz4
{
    /// <summary>LZ4F_getErrorName: a constant text that belongs to the library.</summary>
    [LibraryImport(Library, EntryPoint = "LZ4F_getErrorName")]
    internal static partial nint GetErrorName(nuint result);
}
