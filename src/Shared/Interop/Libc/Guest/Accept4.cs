using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>accept4(2), without the peer's address.</summary>
    [LibraryImport("libc", EntryPoint = "accept4", SetLastError = true)]
    internal static partial int Accept4(int fd, nint address, nint length, int flags);
}
