namespace OpenSandbox.Vmm;

/// <summary>Answers the DNS queries of one sandbox.</summary>
internal sealed class DnsService
{
    private readonly EgressCounters _counters;

    internal DnsService(
        EgressGatewayOptions options, Func<CompiledPolicy> policy, ResolvedNames names, EgressRefusals refusals, EgressCounters counters)
    {
        _counters = counters;
    }

    internal ValueTask<ReadOnlyMemory<byte>> AnswerAsync(ReadOnlyMemory<byte> query, bool overTcp, CancellationToken cancellationToken)
    {
        _counters.DnsQuery();
        throw new NotSupportedException();
    }
}
