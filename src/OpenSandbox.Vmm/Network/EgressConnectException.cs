using System.Net.Sockets;

namespace OpenSandbox.Vmm;

/// <summary>The destination was allowed and could not be reached.</summary>
internal sealed class EgressConnectException(SocketError error, string message, Exception? inner = null) : IOException(message, inner)
{
    /// <summary>What the network said; <see cref="SocketError.TimedOut"/> after the gateway's own deadline too.</summary>
    internal SocketError Error { get; } = error;
}
