using System.Net;
using System.Net.Sockets;

namespace OpenSandbox.Vmm;

/// <summary>A policy made ready for asking: the cost of a question does not grow with the number of rules for names.</summary>
/// <remarks>Immutable. The guard is asked on every question, since the host's addresses change.</remarks>
internal sealed class CompiledPolicy
{
    private readonly AddressGuard _guard;
    private readonly EgressRule[] _rules;
    private readonly Dictionary<string, List<int>> _domains = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<int>> _parents = new(StringComparer.Ordinal);
    private readonly List<AddressRule> _addressRules = [];

    internal CompiledPolicy(EgressPolicy policy, AddressGuard guard)
    {
        Policy = policy;
        _guard = guard;
        _rules = policy.RuleSpan.ToArray();
        for (int i = 0; i < _rules.Length; i++)
        {
            EgressRule rule = _rules[i];
            switch (rule.Kind)
            {
                case EgressTargetKind.Domain:
                    Add(_domains, rule.Target, i);
                    break;
                case EgressTargetKind.Subdomains:
                    Add(_parents, rule.Target[2..], i);
                    break;
                default:
                    _addressRules.Add(new AddressRule(i, rule));
                    break;
            }
        }
    }

    internal EgressPolicy Policy { get; }

    /// <summary>
    /// Whether the sandbox may connect to an address. <paramref name="port"/> <see langword="null"/> asks whether there is a port to which it
    /// might. Rules for names match if one of <paramref name="names"/>, those the sandbox was told the address for, matches.
    /// </summary>
    internal EgressDecision DecideConnect(IPAddress address, int? port, IReadOnlyList<string> names)
    {
        AddressVerdict verdict = _guard.Judge(address);
        int deciding = int.MaxValue;
        foreach (string name in names)
        {
            deciding = Math.Min(deciding, FirstNameRule(name, deciding, i => Decides(_rules[i], port, opens: !verdict.IsGuarded)));
        }

        UInt128 bits = AddressBits.Of(address);
        foreach (AddressRule rule in _addressRules)
        {
            if (rule.Index >= deciding)
            {
                break;
            }

            if (rule.Contains(address.AddressFamily, bits)
                && Decides(_rules[rule.Index], port, opens: !verdict.IsGuarded || (rule.IsNetwork && rule.Prefix >= verdict.RequiredPrefix)))
            {
                deciding = rule.Index;
                break;
            }
        }

        EgressRule? decided = deciding == int.MaxValue ? null : _rules[deciding];
        if (decided?.Action == EgressAction.Deny)
        {
            return EgressDecision.Refuse(EgressRefusalReason.Policy, decided);
        }

        if (verdict.IsGuarded)
        {
            return decided is null ? EgressDecision.Refuse(EgressRefusalReason.GuardedAddress, null, verdict.Range!) : DecideEmbedded(verdict, port, decided);
        }

        return decided is null && Policy.DefaultAction == EgressAction.Deny
            ? EgressDecision.Refuse(EgressRefusalReason.Policy)
            : EgressDecision.Allow(decided);
    }

    /// <summary>Whether the sandbox may be told about a name. Rules for some ports only never deny it: another port may be allowed.</summary>
    /// <param name="name">Normalised.</param>
    /// <param name="reserved">A name that only a rule of its own opens.</param>
    internal EgressDecision DecideName(string name, bool reserved)
    {
        int deciding = FirstNameRule(name, int.MaxValue, i => Decides(_rules[i], null, opens: true));
        foreach (AddressRule rule in _addressRules)
        {
            if (rule.Index >= deciding)
            {
                break;
            }

            if (rule.IsAny && Decides(_rules[rule.Index], null, opens: !reserved))
            {
                deciding = rule.Index;
                break;
            }
        }

        if (deciding != int.MaxValue)
        {
            EgressRule decided = _rules[deciding];
            return decided.Action == EgressAction.Allow ? EgressDecision.Allow(decided) : EgressDecision.Refuse(EgressRefusalReason.Policy, decided);
        }

        if (Policy.DefaultAction == EgressAction.Deny)
        {
            return EgressDecision.Refuse(EgressRefusalReason.Policy);
        }

        return reserved ? EgressDecision.Refuse(EgressRefusalReason.ReservedName) : EgressDecision.Allow(null);
    }

    /// <summary>The IPv4 addresses inside must be neither denied nor guarded: a form of writing opens nothing.</summary>
    private EgressDecision DecideEmbedded(AddressVerdict verdict, int? port, EgressRule opener)
    {
        foreach (IPAddress embedded in verdict.Embedded)
        {
            EgressDecision inner = DecideConnect(embedded, port, []);
            bool byDefault = inner is { Reason: EgressRefusalReason.Policy, Rule: null };
            if (!inner.Allowed && !byDefault)
            {
                return inner with { Detail = $"{verdict.Range} for {embedded}{(inner.Detail.Length > 0 ? ", " : "")}{inner.Detail}" };
            }
        }

        return EgressDecision.Allow(opener);
    }

    private static void Add(Dictionary<string, List<int>> index, string key, int rule)
    {
        if (!index.TryGetValue(key, out List<int>? rules))
        {
            index.Add(key, rules = []);
        }

        rules.Add(rule);
    }

    /// <summary>Whether a rule that matches the target decides: its ports fit, and it may open what it allows.</summary>
    private static bool Decides(EgressRule rule, int? port, bool opens) =>
        rule.Covers(port) && (rule.Action == EgressAction.Allow ? opens : port is not null || rule.PortRanges.Length == 0);

    private int FirstNameRule(string name, int below, Func<int, bool> decides)
    {
        int first = First(_domains, name, below, decides);
        for (int dot = name.IndexOf('.', StringComparison.Ordinal); dot >= 0; dot = name.IndexOf('.', dot + 1))
        {
            first = First(_parents, name[(dot + 1)..], first, decides);
        }

        return first;
    }

    private static int First(Dictionary<string, List<int>> index, string key, int below, Func<int, bool> decides)
    {
        if (index.TryGetValue(key, out List<int>? rules))
        {
            foreach (int rule in rules)
            {
                if (rule >= below)
                {
                    break;
                }

                if (decides(rule))
                {
                    return rule;
                }
            }
        }

        return below;
    }

    /// <summary>A rule whose target is an address, a range or anything.</summary>
    private readonly struct AddressRule
    {
        private readonly AddressFamily _family;
        private readonly UInt128 _first;
        private readonly UInt128 _mask;

        internal AddressRule(int index, EgressRule rule)
        {
            Index = index;
            if (rule.Network is IPNetwork network)
            {
                _family = network.BaseAddress.AddressFamily;
                int length = _family == AddressFamily.InterNetwork ? 32 : 128;
                Prefix = network.PrefixLength;
                _first = AddressBits.Of(network.BaseAddress);
                _mask = Prefix == 0 ? UInt128.Zero : UInt128.MaxValue << (length - Prefix);
                IsNetwork = true;
            }
        }

        internal int Index { get; }

        internal int Prefix { get; }

        internal bool IsNetwork { get; }

        internal bool IsAny => !IsNetwork;

        internal bool Contains(AddressFamily family, UInt128 address) => !IsNetwork || (family == _family && (address & _mask) == _first);
    }
}
