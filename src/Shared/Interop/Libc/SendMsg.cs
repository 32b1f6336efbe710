using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace OpenSandbox.Interop;

internal static partial class Libc
{
    internal const int MSG_DONTWAIT = 0x40;
    internal const int MSG_NOSIGNAL = 0x4000;

    /// <summary>sendmsg(2): the only call that sends a file descriptor over a Unix socket.</summary>
    /// <returns>Bytes sent, fewer than given when the buffer is full; -1 on failure.</returns>
    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    internal static unsafe partial nint SendMsg(SafeSocketHandle socket, MsgHdr* message, int flags);
}
