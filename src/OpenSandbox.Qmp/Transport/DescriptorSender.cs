using System.Net.Sockets;
using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Qmp.Transport;

/// <summary>Sends bytes together with a file descriptor, which the runtime's sockets cannot.</summary>
internal static class DescriptorSender
{
    /// <summary>Sends the start of <paramref name="bytes"/> and, with its first byte, <paramref name="descriptor"/>. Never blocks.</summary>
    /// <returns>Bytes sent, at least 1 and possibly not all (the descriptor has gone with them); 0 when the socket has no room now.</returns>
    /// <exception cref="IOException">The call failed: the connection is lost.</exception>
    internal static int TrySend(SafeSocketHandle socket, ReadOnlySpan<byte> bytes, SafeHandle descriptor)
    {
        while (true)
        {
            nint sent = Send(socket, bytes, descriptor);
            if (sent >= 0)
            {
                return (int)sent;
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case Errno.EINTR:
                    continue;
                case Errno.EAGAIN:
                    return 0;
                default:
                    throw Errno.LastError("sendmsg to QEMU with a descriptor");
            }
        }
    }

    private static unsafe nint Send(SafeSocketHandle socket, ReadOnlySpan<byte> bytes, SafeHandle descriptor)
    {
        // JUSTIFICATION: sendmsg takes its message as a structure of pointers; no managed API sends SCM_RIGHTS.
        // SAFETY: bytes are pinned for the duration of the call; header, vector and control data live on this stack frame;
        // the caller holds a reference on the descriptor's handle, so its number cannot be reused meanwhile; the socket's
        // handle is referenced by the marshaller. The kernel only reads.
        fixed (byte* start = bytes)
        {
            var vector = new IoVec { Base = start, Length = (nuint)bytes.Length };
            var rights = new RightsMessage
            {
                Length = RightsMessage.UnpaddedLength,
                Level = RightsMessage.SOL_SOCKET,
                Type = RightsMessage.SCM_RIGHTS,
                Descriptor = (int)descriptor.DangerousGetHandle(),
            };
            var message = new MsgHdr
            {
                Vectors = &vector,
                VectorCount = 1,
                Control = &rights,
                ControlLength = (nuint)sizeof(RightsMessage),
            };
            return Libc.SendMsg(socket, &message, Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL);
        }
    }
}
