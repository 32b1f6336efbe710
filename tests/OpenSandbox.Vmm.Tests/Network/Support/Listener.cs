using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Vmm.Tests.Network;

/// <summary>A TCP server on loopback.</summary>
internal sealed class Listener : IDisposable
{
    private readonly Socket _socket;

    internal Listener(string address = "127.0.0.1")
    {
        var at = IPAddress.Parse(address);
        _socket = new Socket(at.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        _socket.Bind(new IPEndPoint(at, 0));
        _socket.Listen();
    }

    internal IPEndPoint Address => (IPEndPoint)_socket.LocalEndPoint!;

    /// <summary>The next connection.</summary>
    internal async Task<Socket> AcceptAsync() => await _socket.AcceptAsync(Limits.Token);

    public void Dispose() => _socket.Dispose();
}
