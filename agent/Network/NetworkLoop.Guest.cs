using System.Net;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <content>What programs of the guest do: they connect and ask for names, and the kernel redirects both to this loop's listeners.</content>
internal sealed partial class NetworkLoop
{
    private const int Backlog = 4096;
    private const int MaxAcceptsPerTurn = 64;
    private const int DnsPort = 53;
    private const int MaxDnsConnections = 32;

    private readonly List<DnsSocket> _dnsSockets = [];
    private readonly Dictionary<uint, DnsConnection> _dnsConnections = [];
    private readonly List<(int Fd, bool IsV6)> _listeners = [];
    private uint _dnsSerial;

    private void Listen()
    {
        foreach (IPAddress address in (ReadOnlySpan<IPAddress>)[IPAddress.Loopback, IPAddress.IPv6Loopback])
        {
            bool isV6 = address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6;
            int listener = GuestNetwork.Bind(address, GuestNetwork.TcpPort, Linux.SOCK_STREAM);
            _ = GuestException.Check(Libc.Listen(listener, Backlog), "listen");
            Events.Add(listener, Linux.EPOLLIN, EventKind.Listener, (uint)_listeners.Count);
            _listeners.Add((listener, isV6));
            int dns = GuestNetwork.Bind(address, GuestNetwork.DnsPort, Linux.SOCK_DGRAM);
            Events.Add(dns, Linux.EPOLLIN, EventKind.DnsSocket, (uint)_dnsSockets.Count);
            _dnsSockets.Add(new DnsSocket(dns, this));
        }
    }

    private void Accept(int index)
    {
        (int listener, bool isV6) = _listeners[index];
        BeginSessionNow();
        for (int i = 0; i < MaxAcceptsPerTurn; i++)
        {
            int fd = Libc.Accept4(listener, 0, 0, Linux.SOCK_CLOEXEC | Linux.SOCK_NONBLOCK);
            if (fd < 0)
            {
                return; // none left, or no descriptor for it: the next event tries again
            }

            // A program that connects to the listener itself was redirected by nobody, and has no business here.
            if (!IsUp || _ours >= ProtocolConstants.MaxAgentStreams
                || !SocketAddress.TryGetOriginal(fd, isV6, out (IPAddress Address, int Port) target) || IPAddress.IsLoopback(target.Address))
            {
                SocketAddress.SetReset(fd);
                _ = Libc.Close(fd);
            }
            else if (target.Port == DnsPort)
            {
                Serve(fd);
            }
            else
            {
                uint id = Open(new OpenRequest
                {
                    Op = Operations.Tcp,
                    Tcp = new TcpRequest { Address = target.Address.ToString(), Port = target.Port },
                });
                Add(Tunnel.Outgoing(this, id, fd));
            }
        }
    }

    private void ReadQueries(int index) => _dnsSockets[index].Read();

    private void Serve(int fd)
    {
        if (_dnsConnections.Count >= MaxDnsConnections)
        {
            _ = Libc.Close(fd);
            return;
        }

        uint key = ++_dnsSerial;
        var connection = new DnsConnection(this, fd);
        _dnsConnections.Add(key, connection);
        Events.Add(fd, Linux.EPOLLIN | Linux.EPOLLRDHUP | Linux.EPOLLET, EventKind.DnsConnection, key);
        OnDnsConnection(key);
    }

    private void OnDnsConnection(uint key)
    {
        if (_dnsConnections.TryGetValue(key, out DnsConnection? connection) && !connection.OnReadable())
        {
            connection.Close();
            _dnsConnections.Remove(key);
        }
    }

    private int NextDeadline()
    {
        long next = _portReady && !_source.HasSession ? _beginAt : long.MaxValue;
        foreach (DnsConnection connection in _dnsConnections.Values)
        {
            next = Math.Min(next, connection.Deadline);
        }

        return next == long.MaxValue ? -1 : (int)Math.Clamp(next - ClockTicks.Milliseconds + 1, 0, int.MaxValue);
    }

    private void CloseIdleDns()
    {
        if (_dnsConnections.Count == 0)
        {
            return;
        }

        long now = ClockTicks.Milliseconds;
        foreach ((uint key, DnsConnection connection) in _dnsConnections)
        {
            if (connection.Deadline <= now || connection.IsClosed)
            {
                connection.Close();
                _dnsConnections.Remove(key); // which an enumeration of a dictionary allows
            }
        }
    }
}
