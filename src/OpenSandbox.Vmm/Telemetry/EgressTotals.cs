namespace OpenSandbox.Vmm.Telemetry;

/// <summary>What several sandboxes have done on the network.</summary>
internal readonly record struct EgressTotals(
    long Sent, long Received, long Opened, long Refused, long Failed, long DnsQueries, long DnsRefused, long DnsFailed)
{
    internal static EgressTotals Of(EgressStatistics one) => new(
        one.BytesSent, one.BytesReceived, one.ConnectionsOpened, one.ConnectionsRefused, one.ConnectionsFailed, one.DnsQueries, one.DnsRefused, one.DnsFailed);

    public static EgressTotals operator +(EgressTotals a, EgressTotals b) => new(
        a.Sent + b.Sent,
        a.Received + b.Received,
        a.Opened + b.Opened,
        a.Refused + b.Refused,
        a.Failed + b.Failed,
        a.DnsQueries + b.DnsQueries,
        a.DnsRefused + b.DnsRefused,
        a.DnsFailed + b.DnsFailed);
}
