using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    /// <summary>epoll_wait(2). The timeout is in milliseconds; -1: none.</summary>
    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    internal static partial int EpollWait(int epoll, Span<EpollEvent> events, int maxEvents, int timeout);
}
