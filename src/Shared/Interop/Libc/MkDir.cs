using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>mkdir(2). The runtime's own call does not tell a new directory from one that was there.</summary>
    [LibraryImport("libc", EntryPoint = "mkdir", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int MkDir(string path, uint mode);
}
