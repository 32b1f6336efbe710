using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>listen(2).</summary>
    [LibraryImport("libc", EntryPoint = "listen", SetLastError = true)]
    internal static partial int Listen(SafeHandle socket, int backlog);
}
