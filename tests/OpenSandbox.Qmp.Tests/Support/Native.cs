using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Qmp.Tests.Support;

/// <summary>The calls that a peer of the client needs and the runtime does not have.</summary>
internal static unsafe partial class Native
{
    private const int AF_UNIX = 1;
    private const int SOCK_STREAM = 1;
    private const int SOCK_CLOEXEC = 0x80000;
    private const int MSG_CMSG_CLOEXEC = 0x40000000;

    /// <summary>Two connected sockets.</summary>
    internal static (Socket First, Socket Second) SocketPair(int extraFlags = 0)
    {
        int* ends = stackalloc int[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | extraFlags, 0, ends) != 0)
        {
            throw Errno.LastError("socketpair");
        }

        return (new Socket(new SafeSocketHandle(ends[0], ownsHandle: true)), new Socket(new SafeSocketHandle(ends[1], ownsHandle: true)));
    }

    /// <summary>A file in memory with this content.</summary>
    internal static SafeFileHandle MemFd(string content)
    {
        int fd = memfd_create("qmp-test", 1);
        if (fd < 0)
        {
            throw Errno.LastError("memfd_create");
        }

        var file = new SafeFileHandle(fd, ownsHandle: true);
        RandomAccess.Write(file, Encoding.UTF8.GetBytes(content), 0);
        return file;
    }

    /// <summary>Receives bytes, and the descriptor that came with them if one did. Waits for them, with a deadline.</summary>
    internal static int Receive(Socket socket, Span<byte> bytes, out SafeFileHandle? descriptor)
    {
        if (!socket.Poll(Deadlines.Limit, SelectMode.SelectRead))
        {
            throw new TimeoutException("Nothing to receive");
        }

        RightsMessage rights = default;
        fixed (byte* start = bytes)
        {
            var vector = new IoVec { Base = start, Length = (nuint)bytes.Length };
            var message = new MsgHdr { Vectors = &vector, VectorCount = 1, Control = &rights, ControlLength = (nuint)sizeof(RightsMessage) };
            nint received = recvmsg(socket.SafeHandle, &message, MSG_CMSG_CLOEXEC);
            if (received < 0)
            {
                throw Errno.LastError("recvmsg");
            }

            bool came = message.ControlLength >= RightsMessage.UnpaddedLength && rights.Type == RightsMessage.SCM_RIGHTS;
            descriptor = came ? new SafeFileHandle(rights.Descriptor, ownsHandle: true) : null;
            return (int)received;
        }
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socketpair(int domain, int type, int protocol, int* ends);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int memfd_create(string name, uint flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recvmsg(SafeSocketHandle socket, MsgHdr* message, int flags);
}
