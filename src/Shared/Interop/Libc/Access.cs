using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>access(2).</summary>
    [LibraryImport("libc", EntryPoint = "access", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Access(string path, int mode);
}
