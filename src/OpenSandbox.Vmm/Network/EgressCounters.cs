namespace OpenSandbox.Vmm;

/// <summary>Counts what a gateway does. Thread-safe.</summary>
internal sealed class EgressCounters
{
    private long _opened;
    private long _refused;
    private long _failed;
    private long _closedByPolicy;
    private long _sent;
    private long _received;
    private long _dnsQueries;
    private long _dnsRefused;
    private long _dnsFailed;

    internal void Opened() => Interlocked.Increment(ref _opened);

    internal void Refused() => Interlocked.Increment(ref _refused);

    internal void Failed() => Interlocked.Increment(ref _failed);

    internal void ClosedByPolicy() => Interlocked.Increment(ref _closedByPolicy);

    internal void Sent(int bytes) => Interlocked.Add(ref _sent, bytes);

    internal void Received(int bytes) => Interlocked.Add(ref _received, bytes);

    internal void DnsQuery() => Interlocked.Increment(ref _dnsQueries);

    internal void DnsRefused() => Interlocked.Increment(ref _dnsRefused);

    internal void DnsFailed() => Interlocked.Increment(ref _dnsFailed);

    internal EgressStatistics Read(int active, long missed) => new()
    {
        ConnectionsOpened = Interlocked.Read(ref _opened),
        ConnectionsActive = active,
        ConnectionsRefused = Interlocked.Read(ref _refused),
        ConnectionsFailed = Interlocked.Read(ref _failed),
        ConnectionsClosedByPolicy = Interlocked.Read(ref _closedByPolicy),
        BytesSent = Interlocked.Read(ref _sent),
        BytesReceived = Interlocked.Read(ref _received),
        DnsQueries = Interlocked.Read(ref _dnsQueries),
        DnsRefused = Interlocked.Read(ref _dnsRefused),
        DnsFailed = Interlocked.Read(ref _dnsFailed),
        RefusalsMissed = missed,
    };
}
