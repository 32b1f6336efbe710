using System.Net.Sockets;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Processes;

/// <summary>Unix stream sockets with a name in the file system, listened to by a child.</summary>
internal static unsafe class UnixSocketPath
{
    /// <summary>Bytes that a name may have: <c>sun_path</c> of unix(7) without the zero at its end.</summary>
    internal const int MaxBytes = 107;

    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Makes a socket that listens under a name, open to its owner alone. Nobody has to accept for a connect to succeed.</summary>
    /// <param name="path">Absolute path, at most <see cref="MaxBytes"/> bytes, in a directory that nobody else may enter; must not exist.</param>
    /// <returns>The listening socket. Closing it leaves the name.</returns>
    /// <exception cref="IOException">A step failed.</exception>
    internal static SafeFileHandle Listen(string path)
    {
        const int familyBytes = 2;
        SafeFileHandle socket = Libc.Socket(Libc.AF_UNIX, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC, 0);
        bool listening = false;
        try
        {
            if (socket.IsInvalid)
            {
                throw Errno.LastError("socket");
            }

            // JUSTIFICATION: bind takes a C structure, and the runtime's own sockets would unlink the name with their handle.
            // SAFETY: the buffer has room for the family and the longest name with its zero; GetBytes throws rather than write beyond it.
            byte* address = stackalloc byte[familyBytes + MaxBytes + 1];
            new Span<byte>(address, familyBytes + MaxBytes + 1).Clear();
            *(ushort*)address = Libc.AF_UNIX;
            int length = Encoding.UTF8.GetBytes(path, new Span<byte>(address + familyBytes, MaxBytes));
            if (Libc.Bind(socket, address, (uint)(familyBytes + length + 1)) != 0)
            {
                throw Errno.LastError($"bind {path}");
            }

            File.SetUnixFileMode(path, OwnerOnly);
            if (Libc.Listen(socket, 1) != 0)
            {
                throw Errno.LastError($"listen {path}");
            }

            listening = true;
            return socket;
        }
        finally
        {
            if (!listening)
            {
                socket.Dispose();
            }
        }
    }

    /// <summary>Connects. Succeeds when there is a listener, whether it accepts or not; a listener with too many waiting refuses.</summary>
    /// <exception cref="SocketException">Nobody listens, or too many wait already.</exception>
    internal static Socket Connect(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            // A blocking connect would wait for a listener that does not accept.
            socket.Blocking = false;
            socket.Connect(new UnixDomainSocketEndPoint(path));
            socket.Blocking = true;
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
