using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary><see cref="EgressLimits"/> as they are kept.</summary>
internal sealed record EgressLimitsRecord
{
    [JsonRequired]
    public int MaxConnections { get; init; }

    [JsonRequired]
    public int ConnectionsPerSecond { get; init; }

    [JsonRequired]
    public int DnsQueriesPerSecond { get; init; }

    [JsonRequired]
    public int MaxConcurrentDnsQueries { get; init; }

    public long? SendBytesPerSecond { get; init; }

    public long? ReceiveBytesPerSecond { get; init; }

    internal static EgressLimitsRecord From(EgressLimits limits) => new()
    {
        MaxConnections = limits.MaxConnections,
        ConnectionsPerSecond = limits.ConnectionsPerSecond,
        DnsQueriesPerSecond = limits.DnsQueriesPerSecond,
        MaxConcurrentDnsQueries = limits.MaxConcurrentDnsQueries,
        SendBytesPerSecond = limits.SendBytesPerSecond,
        ReceiveBytesPerSecond = limits.ReceiveBytesPerSecond,
    };

    internal EgressLimits ToLimits() => new()
    {
        MaxConnections = MaxConnections,
        ConnectionsPerSecond = ConnectionsPerSecond,
        DnsQueriesPerSecond = DnsQueriesPerSecond,
        MaxConcurrentDnsQueries = MaxConcurrentDnsQueries,
        SendBytesPerSecond = SendBytesPerSecond,
        ReceiveBytesPerSecond = ReceiveBytesPerSecond,
    };

    internal void Validate(string field)
    {
        try
        {
            ToLimits().Validate();
        }
        catch (ArgumentException wrong)
        {
            throw new InvalidDataException($"{field}: {wrong.Message}", wrong);
        }
    }
}
