using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Vmm;

/// <summary>Asks the kernel whether it would deliver to itself, which no list of addresses can say for certain.</summary>
/// <remarks>
/// The list may be a moment old, and a host can have addresses that no interface shows (whole ranges routed to <c>lo</c>). A datagram socket that
/// is connected sends nothing, but has the source address chosen: for deliveries to itself the kernel takes the destination or loopback.
/// </remarks>
internal static class LocalRoute
{
    internal static bool LeadsHere(IPAddress address)
    {
        try
        {
            using var probe = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
            probe.Connect(address, 9);
            IPAddress source = ((IPEndPoint)probe.LocalEndPoint!).Address;
            return IPAddress.IsLoopback(source) || AddressBits.WithoutScope(source).Equals(address);
        }
        catch (SocketException)
        {
            // No route, or no such family: connecting for real says the same, with the error that the guest should see.
            return false;
        }
    }
}
