using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    internal const int SEEK_DATA = 3;
    internal const int SEEK_HOLE = 4;

    /// <summary>lseek(2).</summary>
    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    internal static partial long LSeek(SafeFileHandle fd, long offset, int whence);
}
