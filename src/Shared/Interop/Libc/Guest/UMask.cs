using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>umask(2).</summary>
    [LibraryImport("libc", EntryPoint = "umask", SetLastError = true)]
    internal static partial uint UMask(uint mask);
}
