using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>signalfd(2). <paramref name="mask"/> is the C library's sigset_t of 1,024 bits.</summary>
    [LibraryImport("libc", EntryPoint = "signalfd", SetLastError = true)]
    internal static partial int SignalFd(int fd, ReadOnlySpan<ulong> mask, int flags);
}
