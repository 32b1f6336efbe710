using System.Net;

namespace OpenSandbox.Vmm;

/// <summary>
/// How a guest names the host's loopback interface: its own 127.0.0.1 and ::1 lead to itself. Like every guarded address these are refused
/// unless a rule lists 127.0.0.1 or ::1.
/// </summary>
internal static class HostLoopback
{
    /// <summary>The name under which a guest finds it.</summary>
    internal const string Name = "host.opensandbox.internal";

    /// <summary>192.0.0.1 in the guest is 127.0.0.1 of the host. The range is for addresses that never leave one machine (RFC 7335).</summary>
    internal static IPAddress Guest4 { get; } = new([192, 0, 0, 1]);

    /// <summary>fd00::1 in the guest is ::1 of the host.</summary>
    internal static IPAddress Guest6 { get; } = new([0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// <summary>The address that a guest means.</summary>
    internal static IPAddress FromGuest(IPAddress address) =>
        address.Equals(Guest4) ? IPAddress.Loopback : address.Equals(Guest6) ? IPAddress.IPv6Loopback : address;

    /// <summary>The address under which a guest reaches it.</summary>
    internal static IPAddress ToGuest(IPAddress address) =>
        address.Equals(IPAddress.Loopback) ? Guest4 : address.Equals(IPAddress.IPv6Loopback) ? Guest6 : address;
}
