using System.Buffers.Binary;
using System.Net.Sockets;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Keeping;

/// <summary>Who is at the other end of a Unix socket, as the kernel says: unix(7), SO_PEERCRED.</summary>
internal static class PeerCredentials
{
    private const int SolSocket = 1;
    private const int SoPeerCred = 17;

    /// <summary>Whether the other end is this user, or root, who can do anything anyway.</summary>
    internal static bool IsTrusted(Socket socket)
    {
        // struct ucred: pid, uid and gid, four bytes each.
        Span<byte> credentials = stackalloc byte[12];
        if (socket.GetRawSocketOption(SolSocket, SoPeerCred, credentials) != credentials.Length)
        {
            return false;
        }

        uint user = BinaryPrimitives.ReadUInt32LittleEndian(credentials[4..]);
        return user == 0 || user == Libc.GetEffectiveUserId();
    }
}
