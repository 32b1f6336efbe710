using System.Net;

namespace OpenSandbox.Vmm;

/// <summary>How a gateway works. Immutable; every setting has a default.</summary>
internal sealed record EgressGatewayOptions
{
    /// <summary>What one sandbox may use.</summary>
    internal EgressLimits Limits { get; init; } = new();

    /// <summary>Clock and timers.</summary>
    internal TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The host's own addresses. Default: those of this host, one list for all gateways.</summary>
    internal HostAddresses? HostAddresses { get; init; }

    /// <summary>Whether the kernel delivers to this host itself what is sent to an address. Default: asks it.</summary>
    internal Func<IPAddress, bool> LeadsHere { get; init; } = LocalRoute.LeadsHere;

    /// <summary>Upstream DNS servers. Default: those in <see cref="ResolvConfPath"/>, read again when it changes.</summary>
    internal IReadOnlyList<IPEndPoint>? DnsServers { get; init; }

    /// <summary>Where the host's DNS servers are named.</summary>
    internal string ResolvConfPath { get; init; } = "/etc/resolv.conf";

    /// <summary>In which a connection must be made.</summary>
    internal TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>In which one DNS server must answer before the next is asked.</summary>
    internal TimeSpan DnsTryTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>In which a query is answered, all servers together.</summary>
    internal TimeSpan DnsTimeout { get; init; } = TimeSpan.FromSeconds(5);

    internal void Validate()
    {
        Limits.Validate();
        foreach (TimeSpan limit in (ReadOnlySpan<TimeSpan>)[ConnectTimeout, DnsTryTimeout, DnsTimeout])
        {
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(limit, TimeSpan.Zero);
        }
    }
}
