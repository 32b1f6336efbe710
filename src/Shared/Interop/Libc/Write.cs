using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    internal const int O_APPEND = 0x400;

    /// <summary>write(2): the only way to append whole lines next to other processes, since the runtime writes at offsets.</summary>
    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    internal static partial nint Write(SafeFileHandle fd, ReadOnlySpan<byte> bytes, nuint count);
}
