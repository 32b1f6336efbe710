namespace OpenSandbox.Vmm;

/// <summary>What a sandbox has done on the network since it was created. Immutable; the numbers are read one after the other.</summary>
public sealed record EgressStatistics
{
    /// <summary>Connections that were made.</summary>
    public long ConnectionsOpened { get; init; }

    /// <summary>Connections open now.</summary>
    public int ConnectionsActive { get; init; }

    /// <summary>Connections that were refused, by policy, guard or limit.</summary>
    public long ConnectionsRefused { get; init; }

    /// <summary>Connections that were allowed and could not be made.</summary>
    public long ConnectionsFailed { get; init; }

    /// <summary>Open connections that were reset because a new policy does not allow them.</summary>
    public long ConnectionsClosedByPolicy { get; init; }

    /// <summary>Bytes from the sandbox to the network.</summary>
    public long BytesSent { get; init; }

    /// <summary>Bytes from the network to the sandbox.</summary>
    public long BytesReceived { get; init; }

    /// <summary>DNS queries, refused ones included.</summary>
    public long DnsQueries { get; init; }

    /// <summary>DNS queries that were refused, by policy, guard or limit, or because they could not be read.</summary>
    public long DnsRefused { get; init; }

    /// <summary>DNS queries that no upstream server answered usefully.</summary>
    public long DnsFailed { get; init; }

    /// <summary>Refusals that slow watchers have lost, over all watchers.</summary>
    public long RefusalsMissed { get; init; }
}
