using System.Buffers.Binary;
using System.Net;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>struct sockaddr_in and sockaddr_in6 as bytes.</summary>
internal static class SocketAddress
{
    /// <summary>Room for either.</summary>
    internal const int MaxSize = 28;

    private const int PortOffset = 2;
    private const int Address4Offset = 4;
    private const int Address6Offset = 8;
    private const int Size4 = 16;

    /// <summary>Makes one.</summary>
    internal static byte[] From(IPAddress address, int port)
    {
        bool isV4 = address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetwork;
        byte[] bytes = new byte[isV4 ? Size4 : MaxSize];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, (ushort)(isV4 ? Linux.AF_INET : Linux.AF_INET6));
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(PortOffset), (ushort)port);
        _ = address.TryWriteBytes(bytes.AsSpan(isV4 ? Address4Offset : Address6Offset), out _);
        return bytes;
    }

    /// <summary>Its address family.</summary>
    internal static int Family(ReadOnlySpan<byte> address) => BinaryPrimitives.ReadUInt16LittleEndian(address);

    /// <summary>Reads one that the kernel wrote.</summary>
    internal static (IPAddress Address, int Port) Parse(ReadOnlySpan<byte> address)
    {
        int port = BinaryPrimitives.ReadUInt16BigEndian(address[PortOffset..]);
        return Family(address) == Linux.AF_INET
            ? (new IPAddress(address.Slice(Address4Offset, 4)), port)
            : (new IPAddress(address.Slice(Address6Offset, 16)), port);
    }

    /// <summary>Where a connection was going before it was redirected to this process.</summary>
    /// <returns>Whether the kernel knows.</returns>
    internal static bool TryGetOriginal(int fd, bool isV6, out (IPAddress Address, int Port) target)
    {
        Span<byte> address = stackalloc byte[MaxSize];
        address.Clear();
        uint length = MaxSize;
        int level = isV6 ? Linux.IPPROTO_IPV6 : Linux.IPPROTO_IP;
        if (Libc.GetSockOpt(fd, level, Linux.SO_ORIGINAL_DST, address, ref length) < 0)
        {
            target = default;
            return false;
        }

        target = Parse(address);
        return true;
    }

    /// <summary>Makes the close of a connection a reset.</summary>
    internal static void SetReset(int fd)
    {
        Span<byte> linger = [1, 0, 0, 0, 0, 0, 0, 0]; // struct linger: on, 0 s
        _ = Libc.SetSockOpt(fd, Linux.SOL_SOCKET, Linux.SO_LINGER, linger, (uint)linger.Length);
    }
}
