using System.Net;

namespace OpenSandbox.Vmm;

/// <summary>Answers the DNS queries of one sandbox: judges the name, asks upstream, and tells only addresses that may be reached.</summary>
/// <remarks>
/// Thread-safe. Refused names do not exist (NXDOMAIN): the C libraries give up at once on that, where REFUSED makes glibc ask again and musl wait
/// for its deadline. Answers carry no authority section, so that nobody in the guest remembers a refusal. No answer is kept here.
/// </remarks>
internal sealed class DnsService
{
    /// <summary>Seconds for which the guest may keep an answer: policy changes and changes of address get through in minutes.</summary>
    internal const uint MinTimeToLive = 1;

    /// <inheritdoc cref="MinTimeToLive"/>
    internal const uint MaxTimeToLive = 300;

    private static readonly byte[] s_rfc8482 = [7, (byte)'R', (byte)'F', (byte)'C', (byte)'8', (byte)'4', (byte)'8', (byte)'2', 0];

    private readonly Func<CompiledPolicy> _policy;
    private readonly AddressGuard _guard;
    private readonly ResolvedNames _names;
    private readonly EgressRefusals _refusals;
    private readonly EgressCounters _counters;
    private readonly DnsUpstream _upstream;
    private readonly RateBucket _rate;
    private readonly int _maxConcurrent;
    private int _concurrent;

    internal DnsService(
        EgressGatewayOptions options,
        Func<CompiledPolicy> policy,
        AddressGuard guard,
        ResolvedNames names,
        EgressRefusals refusals,
        EgressCounters counters)
    {
        _policy = policy;
        _guard = guard;
        _names = names;
        _refusals = refusals;
        _counters = counters;
        _upstream = new DnsUpstream(options);
        _rate = new RateBucket(options.Limits.DnsQueriesPerSecond, options.Limits.DnsQueriesPerSecond, options.TimeProvider);
        _maxConcurrent = options.Limits.MaxConcurrentDnsQueries;
    }

    /// <summary>Answers a query.</summary>
    /// <param name="message">Any bytes.</param>
    /// <param name="overTcp">Whether the answer may be of any size.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <returns>An answer, whatever was asked.</returns>
    internal ValueTask<ReadOnlyMemory<byte>> AnswerAsync(ReadOnlyMemory<byte> message, bool overTcp, CancellationToken cancellationToken)
    {
        _counters.DnsQuery();
        DnsResponseCode problem = DnsQuery.Read(message.Span, out DnsQuery query);
        // The target of refusals: what can be said of the question, if it could be read.
        string target = query.Question?.Name.ToString().TrimEnd('.') ?? "";
        if (!_rate.TryTake())
        {
            Refuse(EgressRefusalReason.RateLimit, target, null, "queries per second");
            return Done(DnsMessage.Answer(query, DnsResponseCode.ServerFailure, [], overTcp));
        }

        if (problem == DnsResponseCode.BadVersion)
        {
            return Done(DnsMessage.Answer(query, problem, [], overTcp));
        }

        if (problem != DnsResponseCode.NoError || query.Question is not DnsQuestion question)
        {
            Refuse(EgressRefusalReason.Malformed, target, null, problem == DnsResponseCode.NotImplemented ? "operation" : "not a DNS query");
            return Done(DnsMessage.Answer(query, problem, [], overTcp));
        }

        if (question.Class != DnsQuestion.ClassInternet || DnsType.IsMeta(question.Type))
        {
            Refuse(EgressRefusalReason.Malformed, target, null, $"class {question.Class}, type {question.Type}");
            return Done(DnsMessage.Answer(query, DnsResponseCode.NotImplemented, [], overTcp));
        }

        if (!question.Name.TryGetText(out string? name))
        {
            Refuse(EgressRefusalReason.ReservedName, target, null, "not a host name");
            return Done(DnsMessage.Answer(query, DnsResponseCode.NameError, [], overTcp, DnsMessage.ErrorBlocked));
        }

        if (ReservedNames.IsLocalhost(name))
        {
            return Done(DnsMessage.Answer(query, DnsResponseCode.NoError, Localhost(question), overTcp));
        }

        if (name == HostLoopback.Name)
        {
            return Done(DnsMessage.Answer(query, DnsResponseCode.NoError, Host(question), overTcp));
        }

        EgressDecision decision = Decide(name);
        if (!decision.Allowed)
        {
            return Done(Denied(query, name, decision, overTcp));
        }

        switch (question.Type)
        {
            case DnsType.Any:
                // RFC 8482 section 4.2: whoever asks for everything gets one record, and asks again for what is wanted.
                var reminder = new DnsRecord(question.Name, DnsType.Hinfo, MaxTimeToLive, s_rfc8482);
                return Done(DnsMessage.Answer(query, DnsResponseCode.NoError, [reminder], overTcp));
            case DnsType.Svcb or DnsType.Https:
                // They carry addresses that would go past the table of names; clients fall back to A and AAAA, and need no wait for that.
                return Done(DnsMessage.Answer(query, DnsResponseCode.NoError, [], overTcp));
            default:
                return ForwardAsync(query, question, name, overTcp, cancellationToken);
        }
    }

    private static ValueTask<ReadOnlyMemory<byte>> Done(byte[] answer) => ValueTask.FromResult<ReadOnlyMemory<byte>>(answer);

    private static DnsRecord[] Localhost(DnsQuestion question) => question.Type switch
    {
        DnsType.A => [new DnsRecord(question.Name, DnsType.A, MaxTimeToLive, IPAddress.Loopback.GetAddressBytes())],
        DnsType.Aaaa => [new DnsRecord(question.Name, DnsType.Aaaa, MaxTimeToLive, IPAddress.IPv6Loopback.GetAddressBytes())],
        _ => [],
    };

    /// <summary>The host's loopback interface has a name; whether it may be reached is the address's matter.</summary>
    private static DnsRecord[] Host(DnsQuestion question) => question.Type switch
    {
        DnsType.A => [new DnsRecord(question.Name, DnsType.A, MaxTimeToLive, HostLoopback.Guest4.GetAddressBytes())],
        _ => [],
    };

    private async ValueTask<ReadOnlyMemory<byte>> ForwardAsync(
        DnsQuery query, DnsQuestion question, string name, bool overTcp, CancellationToken cancellationToken)
    {
        if (Interlocked.Increment(ref _concurrent) > _maxConcurrent)
        {
            Interlocked.Decrement(ref _concurrent);
            Refuse(EgressRefusalReason.ConcurrencyLimit, name, null, "queries at once");
            return DnsMessage.Answer(query, DnsResponseCode.ServerFailure, [], overTcp);
        }

        DnsReply? reply;
        try
        {
            // In lower case: how the guest wrote the name carries nothing out of the host.
            var asked = new DnsQuestion(DnsName.Of(name), question.Type, DnsQuestion.ClassInternet);
            reply = await _upstream.AskAsync(asked, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            Interlocked.Decrement(ref _concurrent);
        }

        if (reply is null)
        {
            _counters.DnsFailed();
            return DnsMessage.Answer(query, DnsResponseCode.ServerFailure, [], overTcp);
        }

        // The policy may have changed while the servers were asked.
        EgressDecision decision = Decide(name);
        if (!decision.Allowed)
        {
            return Denied(query, name, decision, overTcp);
        }

        bool addresses = question.Type is DnsType.A or DnsType.Aaaa;
        return DnsMessage.Answer(query, reply.Code, addresses ? Admit(name, question.Type, reply) : Clamp(reply.Records), overTcp);
    }

    private static uint Clamp(uint timeToLive) => Math.Clamp(timeToLive, MinTimeToLive, MaxTimeToLive);

    private static DnsRecord[] Clamp(IReadOnlyList<DnsRecord> records) =>
        [.. records.Select(static record => record with { TimeToLive = Clamp(record.TimeToLive) })];

    /// <summary>Takes out the addresses that are guarded, and notes the others for the asked name.</summary>
    private List<DnsRecord> Admit(string name, ushort type, DnsReply reply)
    {
        CompiledPolicy policy = _policy();
        var told = new List<DnsRecord>(reply.Records.Count);
        var admitted = new List<IPAddress>();
        uint timeToLive = MaxTimeToLive;
        string? stripped = null;
        foreach (DnsRecord record in reply.Records)
        {
            timeToLive = Math.Min(timeToLive, Clamp(record.TimeToLive));
            if (record.Type == type)
            {
                var address = new IPAddress(record.Data);
                AddressVerdict verdict = _guard.Judge(address);
                if (verdict.IsGuarded && !policy.DecideConnect(address, null, []).Allowed)
                {
                    stripped ??= $"{address} ({verdict.Range})";
                    continue;
                }

                admitted.Add(address);
                told.Add(record with { Data = HostLoopback.ToGuest(address).GetAddressBytes() });
                continue;
            }

            told.Add(record);
        }

        if (stripped is not null)
        {
            if (admitted.Count == 0)
            {
                _counters.DnsRefused();
                told.Clear();
            }

            _refusals.Add(EgressRefusalKind.Dns, EgressRefusalReason.GuardedAnswer, name, 0, [], null, stripped);
        }

        // Each record with the shortest time of the chain: none of them is good for longer.
        _names.Add(name, admitted, TimeSpan.FromSeconds(timeToLive));
        return told.ConvertAll(record => record with { TimeToLive = timeToLive });
    }

    /// <summary>What the policy says of a name, and for names of addresses what it says of the address.</summary>
    private EgressDecision Decide(string name)
    {
        CompiledPolicy policy = _policy();
        bool reserved = ReservedNames.IsReserved(name);
        if (ReservedNames.IsReverse(name))
        {
            // The host's resolver would tell the names of its own network (RFC 6303): an address that is guarded has none.
            IPAddress? address = ReservedNames.AddressOf(name);
            reserved = address is null || (_guard.Judge(address).IsGuarded && !policy.DecideConnect(address, null, []).Allowed);
        }

        return policy.DecideName(name, reserved);
    }

    private byte[] Denied(DnsQuery query, string name, EgressDecision decision, bool overTcp)
    {
        Refuse(decision.Reason, name, decision.Rule, decision.Detail);
        return DnsMessage.Answer(query, DnsResponseCode.NameError, [], overTcp, DnsMessage.ErrorBlocked);
    }

    private void Refuse(EgressRefusalReason reason, string name, EgressRule? rule, string detail)
    {
        _counters.DnsRefused();
        _refusals.Add(EgressRefusalKind.Dns, reason, name, 0, [], rule, detail);
    }
}
