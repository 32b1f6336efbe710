using System.Net.Sockets;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>Connected pairs of Unix stream sockets, through a listener in the abstract namespace: nothing on disk.</summary>
internal static class SocketPairs
{
    internal static (Socket Host, Socket Guest) Create()
    {
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint($"\0osb-test-{Guid.NewGuid():N}"));
        listener.Listen(1);
        var host = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        host.Connect(listener.LocalEndPoint!);
        return (host, listener.Accept());
    }
}
