using System.Net;
using Microsoft.Extensions.Logging.Abstractions;

namespace OpenSandbox.Vmm.Tests.Network;

internal static class Gateways
{
    /// <summary>Addresses that the tests' host has: a public one, a private one and loopback.</summary>
    internal static readonly string[] OwnAddresses = ["127.0.0.1", "::1", "45.33.32.156", "10.1.2.3", "2600:3c01::f03c:91ff:fe18:bb2f", "fd12::5"];

    internal static AddressGuard Guard { get; } = new(Host());

    internal static HostAddresses Host() => new(static () => OwnAddresses.Select(IPAddress.Parse));

    internal static CompiledPolicy Compile(EgressPolicy policy) => new(policy, Guard);

    internal static EgressGateway Make(
        EgressPolicy policy, IPEndPoint? dns = null, EgressLimits? limits = null, TimeProvider? time = null, Func<EgressGatewayOptions, EgressGatewayOptions>? more = null)
    {
        var options = new EgressGatewayOptions
        {
            HostAddresses = Host(),
            DnsServers = dns is null ? [] : [dns],
            Limits = limits ?? new EgressLimits { DnsQueriesPerSecond = 10_000, ConnectionsPerSecond = 10_000 },
            TimeProvider = time ?? TimeProvider.System,
        };
        return new EgressGateway("sb-test", policy, more?.Invoke(options) ?? options, NullLogger.Instance);
    }

    internal static async Task<WireMessage> AskAsync(this EgressGateway gateway, string name, ushort type = Wire.A, bool overTcp = false) =>
        await gateway.AskAsync(Wire.Query(name, type), overTcp);

    internal static async Task<WireMessage> AskAsync(this EgressGateway gateway, byte[] query, bool overTcp = false) =>
        Wire.Read(await gateway.ResolveAsync(query, overTcp, Limits.Token));

    internal static IPEndPoint At(string address, int port) => new(IPAddress.Parse(address), port);
}
