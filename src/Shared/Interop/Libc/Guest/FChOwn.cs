using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>fchown(2).</summary>
    [LibraryImport("libc", EntryPoint = "fchown", SetLastError = true)]
    internal static partial int FChOwn(int fd, uint owner, uint group);
}
