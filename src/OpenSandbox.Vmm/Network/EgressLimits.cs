namespace OpenSandbox.Vmm;

/// <summary>How much network one sandbox may use. Immutable; every limit has a default.</summary>
public sealed record EgressLimits
{
    /// <summary>Connections open or being made at once, 1 to 65,536. Default: 256.</summary>
    public int MaxConnections { get; init; } = 256;

    /// <summary>New connections per second, refused ones included, 1 to 100,000; as many may come at once. Default: 200.</summary>
    public int ConnectionsPerSecond { get; init; } = 200;

    /// <summary>DNS queries per second, 1 to 100,000; as many may come at once. Default: 100.</summary>
    public int DnsQueriesPerSecond { get; init; } = 100;

    /// <summary>DNS queries under way at once, 1 to 1,024. Default: 32.</summary>
    public int MaxConcurrentDnsQueries { get; init; } = 32;

    /// <summary>Bytes per second to the network, all connections together, from 1,024. Default: no limit.</summary>
    public long? SendBytesPerSecond { get; init; }

    /// <summary>Bytes per second from the network, all connections together, from 1,024. Default: no limit.</summary>
    public long? ReceiveBytesPerSecond { get; init; }

    internal void Validate()
    {
        ThrowIfOutside(MaxConnections, 1, 65_536, nameof(MaxConnections));
        ThrowIfOutside(ConnectionsPerSecond, 1, 100_000, nameof(ConnectionsPerSecond));
        ThrowIfOutside(DnsQueriesPerSecond, 1, 100_000, nameof(DnsQueriesPerSecond));
        ThrowIfOutside(MaxConcurrentDnsQueries, 1, 1_024, nameof(MaxConcurrentDnsQueries));
        ThrowIfOutside(SendBytesPerSecond ?? 1_024, 1_024, 1L << 40, nameof(SendBytesPerSecond));
        ThrowIfOutside(ReceiveBytesPerSecond ?? 1_024, 1_024, 1L << 40, nameof(ReceiveBytesPerSecond));
    }

    private static void ThrowIfOutside(long value, long low, long high, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, low, name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, high, name);
    }
}
