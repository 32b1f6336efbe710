using System.Net;
using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>
/// A network without a device that leads anywhere: a dummy link holds the default route, and rules in the kernel (images/initramfs/network.nft)
/// redirect every TCP connection and every DNS query to the agent. All of it is part of the golden snapshot.
/// </summary>
internal static unsafe class GuestNetwork
{
    /// <summary>Where TCP connections are redirected to; the same number stands in network.nft. Above the range of ephemeral ports.</summary>
    internal const int TcpPort = 61_001;

    /// <summary>Where DNS queries are redirected to.</summary>
    internal const int DnsPort = 61_002;

    /// <summary>Where connections to 169.254.169.254:80 are redirected to.</summary>
    internal const ushort MetadataPort = 61_003;

    private const nuint SIOCADDRT = 0x890B;
    private const nuint SIOCGIFINDEX = 0x8933;
    private const nuint SIOCSIFFLAGS = 0x8914;
    private const nuint SIOCSIFADDR = 0x8916;
    private const nuint SIOCSIFNETMASK = 0x891C;
    private const nuint SIOCSIFMTU = 0x8922;
    private const short InterfaceUp = 0xC1; // IFF_UP | IFF_RUNNING | IFF_NOARP: nobody is there to be asked
    private const ushort RouteUp = 1; // RTF_UP
    private const int RequestSize = 40; // struct ifreq
    private const int Mtu = 65_535; // connections never leave the machine: large segments cost least
    private const string Link = "dummy0"; // made by its module
    private const string Tools = "/tools";

    // 192.0.0.0/29 is the range of addresses that never leave one machine (RFC 7335).
    private static readonly byte[] s_address4 = [192, 0, 0, 2];
    private static readonly byte[] s_mask4 = [255, 255, 255, 248];
    private static readonly byte[] s_address6 = [0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

    /// <summary>Sets it up. The drivers have been loaded.</summary>
    /// <exception cref="GuestException">A step failed: the guest must not become a golden snapshot.</exception>
    internal static void Configure()
    {
        int socket = GuestException.Check(Libc.Socket(Linux.AF_INET, Linux.SOCK_DGRAM | Linux.SOCK_CLOEXEC, 0), "socket");
        int socket6 = GuestException.Check(Libc.Socket(Linux.AF_INET6, Linux.SOCK_DGRAM | Linux.SOCK_CLOEXEC, 0), "socket of IPv6");
        SetInterface(socket, SIOCSIFADDR, "address", SocketAddress.From(new IPAddress(s_address4), 0));
        SetInterface(socket, SIOCSIFNETMASK, "netmask", SocketAddress.From(new IPAddress(s_mask4), 0));
        SetInterface(socket, SIOCSIFMTU, "mtu", BitConverter.GetBytes(Mtu));
        SetInterface(socket, SIOCSIFFLAGS, "up", BitConverter.GetBytes(InterfaceUp));
        AddRoute4(socket);
        int index = InterfaceIndex(socket);
        AddAddress6(socket6, index);
        AddRoute6(socket6, index);
        _ = Libc.Close(socket);
        _ = Libc.Close(socket6);
        RunRules();
    }

    /// <summary>A nonblocking socket at an address.</summary>
    /// <exception cref="GuestException">It cannot be had.</exception>
    internal static int Bind(IPAddress address, int port, int type)
    {
        byte[] bytes = SocketAddress.From(address, port);
        int socket = GuestException.Check(
            Libc.Socket(SocketAddress.Family(bytes), type | Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK, 0), "socket");
        Span<byte> one = [1, 0, 0, 0];
        if (SocketAddress.Family(bytes) == Linux.AF_INET6)
        {
            _ = GuestException.Check(Libc.SetSockOpt(socket, Linux.IPPROTO_IPV6, Linux.IPV6_V6ONLY, one, sizeof(int)), "IPV6_V6ONLY");
        }

        _ = GuestException.Check(Libc.Bind(socket, bytes, (uint)bytes.Length), $"bind {address}:{port}");
        return socket;
    }

    private static void SetInterface(int socket, nuint what, string name, ReadOnlySpan<byte> value)
    {
        Span<byte> request = stackalloc byte[RequestSize];
        request.Clear();
        System.Text.Encoding.ASCII.GetBytes(Link, request);
        value.CopyTo(request[16..]); // after the name
        _ = GuestException.Check(Libc.IoCtl(socket, what, request), $"{Link} {name}");
    }

    private static int InterfaceIndex(int socket)
    {
        Span<byte> request = stackalloc byte[RequestSize];
        request.Clear();
        System.Text.Encoding.ASCII.GetBytes(Link, request);
        _ = GuestException.Check(Libc.IoCtl(socket, SIOCGIFINDEX, request), $"{Link} index");
        return BitConverter.ToInt32(request[16..]);
    }

    private static void AddRoute4(int socket)
    {
        // struct rtentry of x86-64: pad, destination, gateway, netmask (each a sockaddr), flags, padding, metric, device
        Span<byte> route = stackalloc byte[120];
        route.Clear();
        for (int at = 8; at <= 40; at += 16)
        {
            BitConverter.TryWriteBytes(route[at..], (ushort)Linux.AF_INET);
        }

        BitConverter.TryWriteBytes(route[56..], RouteUp);
        byte[] device = CString.From(Link);

        // JUSTIFICATION: the structure holds a pointer. SAFETY: the array is pinned for the duration of the call.
        fixed (byte* name = device)
        {
            BitConverter.TryWriteBytes(route[88..], (long)name);
            _ = GuestException.Check(Libc.IoCtl(socket, SIOCADDRT, route), "default route");
        }
    }

    private static void AddAddress6(int socket, int index)
    {
        Span<byte> request = stackalloc byte[24]; // struct in6_ifreq: address, prefix length, interface
        s_address6.CopyTo(request);
        BitConverter.TryWriteBytes(request[16..], 64u);
        BitConverter.TryWriteBytes(request[20..], index);
        _ = GuestException.Check(Libc.IoCtl(socket, SIOCSIFADDR, request), $"{Link} IPv6 address");
    }

    private static void AddRoute6(int socket, int index)
    {
        // struct in6_rtmsg: destination, source, gateway, type, lengths of destination and source, metric, info, flags, interface
        Span<byte> route = stackalloc byte[80];
        route.Clear();
        BitConverter.TryWriteBytes(route[56..], 1024u);
        BitConverter.TryWriteBytes(route[72..], (uint)RouteUp);
        BitConverter.TryWriteBytes(route[76..], index);
        _ = GuestException.Check(Libc.IoCtl(socket, SIOCADDRT, route), "IPv6 default route");
    }

    /// <summary>Runs nft once with the tools of the initramfs, and removes them: they would take memory in every sandbox.</summary>
    private static void RunRules()
    {
        string[] arguments = [Tools + "/ld.so", "--library-path", Tools, Tools + "/nft", "-f", Tools + "/network.nft"];
        byte[][] strings = [.. arguments.Select(CString.From)];
        GCHandle[] pins = [.. strings.Select(static bytes => GCHandle.Alloc(bytes, GCHandleType.Pinned))];
        int error;
        int pid;

        // JUSTIFICATION: posix_spawn takes arrays of pointers. SAFETY: all strings are pinned until the call has returned, which is after
        // the child has copied them.
        byte** list = stackalloc byte*[arguments.Length + 1];
        byte** environment = stackalloc byte*[1];
        for (int i = 0; i < arguments.Length; i++)
        {
            list[i] = (byte*)pins[i].AddrOfPinnedObject();
        }

        list[arguments.Length] = null;
        environment[0] = null;
        error = Libc.PosixSpawn(out pid, list[0], 0, 0, list, environment);
        foreach (GCHandle pin in pins)
        {
            pin.Free();
        }

        if (error != 0)
        {
            throw GuestException.System("starting nft", error);
        }

        Span<int> info = stackalloc int[32];
        info.Clear();
        _ = GuestException.Check(Libc.WaitId(Linux.P_PID, (uint)pid, info, Linux.WEXITED), "waitid of nft");
        if (info[2] != Linux.CLD_EXITED || info[6] != 0)
        {
            throw GuestException.Coded(VirtioSerial.AgentErrorCodes.Internal, $"nft ended with {info[2]}/{info[6]}");
        }

        int directory = GuestException.Check(
            Libc.Open(CString.From(Tools), Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0), "open " + Tools);
        foreach (string name in DirectoryReader.Names(directory))
        {
            _ = Libc.UnlinkAt(directory, CString.From(name), 0);
        }

        _ = Libc.Close(directory);
        _ = Libc.UnlinkAt(Linux.AT_FDCWD, CString.From(Tools), Linux.AT_REMOVEDIR);
    }
}
