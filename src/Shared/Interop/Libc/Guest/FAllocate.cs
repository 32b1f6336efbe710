using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>fallocate(2).</summary>
    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    internal static partial int FAllocate(int fd, int mode, long offset, long length);
}
