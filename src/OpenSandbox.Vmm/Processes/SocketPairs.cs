using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Processes;

/// <summary>Connected Unix stream sockets: one end stays here, the other is inherited by a child. Nothing appears on disk.</summary>
internal static unsafe class SocketPairs
{
    /// <summary>Makes a pair.</summary>
    /// <returns>Our end, and the end for the child (to be disposed once the child has been started).</returns>
    internal static (Socket Ours, SafeFileHandle Theirs) Create()
    {
        // JUSTIFICATION: the runtime has no socketpair. SAFETY: the array has the two ints that the call fills.
        int* fds = stackalloc int[2];
        if (Libc.SocketPair(Libc.AF_UNIX, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC, 0, fds) != 0)
        {
            throw Errno.LastError("socketpair");
        }

        var theirs = new SafeFileHandle(fds[1], ownsHandle: true);
        try
        {
            return (new Socket(new SafeSocketHandle(fds[0], ownsHandle: true)), theirs);
        }
        catch
        {
            theirs.Dispose();
            throw;
        }
    }
}
