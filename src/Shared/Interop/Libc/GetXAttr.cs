using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static unsafe partial class Libc
{
    /// <summary>getxattr(2).</summary>
    [LibraryImport("libc", EntryPoint = "getxattr", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint GetXAttr(string path, string name, byte* value, nuint size);
}
