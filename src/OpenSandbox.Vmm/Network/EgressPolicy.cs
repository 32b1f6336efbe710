namespace OpenSandbox.Vmm;

/// <summary>Which destinations a sandbox may reach: ordered rules, the first that matches decides. Immutable.</summary>
/// <remarks>
/// <para>
/// Names are judged when the guest asks for their addresses, and again when it connects: a rule for a name holds for the addresses that this
/// sandbox has been told for that name. An address that was told for several names matches a rule for any of them.
/// </para>
/// <para>
/// Guarded addresses (loopback, private, link-local, multicast and reserved ranges, the forms that embed IPv4 in IPv6, and every address of the
/// host itself) are refused whatever the default action says. Only a rule for an address or a range that is no wider than the guarded range opens
/// them; one for a name, <c>*</c> or <c>0.0.0.0/0</c> never does. The host's own addresses, except loopback, must be named one by one.
/// </para>
/// <code>
/// var policy = EgressPolicy.AllowOnly("pypi.org", "*.pythonhosted.org");
/// var open = EgressPolicy.AllowPublic with { Rules = [EgressRule.Deny("*:25"), EgressRule.Allow("10.1.0.0/16:5432")] };
/// </code>
/// </remarks>
public sealed record EgressPolicy
{
    /// <summary>Most rules in one policy.</summary>
    public const int MaxRules = 4_096;

    private EgressRule[] _rules = [];

    /// <summary>Everything on the public internet, nothing guarded. What a sandbox has by default.</summary>
    public static EgressPolicy AllowPublic { get; } = new() { DefaultAction = EgressAction.Allow };

    /// <summary>Nothing at all: every name is unknown and every connection refused.</summary>
    public static EgressPolicy DenyAll { get; } = new() { DefaultAction = EgressAction.Deny };

    /// <summary>What happens where no rule matches. Default: <see cref="EgressAction.Deny"/>.</summary>
    public EgressAction DefaultAction { get; init; } = EgressAction.Deny;

    /// <summary>The rules, at most <see cref="MaxRules"/>. Default: none.</summary>
    /// <exception cref="ArgumentException">There are too many, or one is null.</exception>
    public IReadOnlyList<EgressRule> Rules
    {
        get => Array.AsReadOnly(_rules);
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            if (value.Count > MaxRules)
            {
                throw new ArgumentException($"{value.Count} rules: a policy has at most {MaxRules}", nameof(Rules));
            }

            EgressRule[] copy = [.. value];
            if (Array.IndexOf(copy, null) >= 0)
            {
                throw new ArgumentException("a rule is null", nameof(Rules));
            }

            _rules = copy;
        }
    }

    internal ReadOnlySpan<EgressRule> RuleSpan => _rules;

    /// <summary>Only the targets given, on any port unless they name ports; everything else is refused.</summary>
    /// <param name="targets">Targets as <see cref="EgressRule.Allow"/> reads them.</param>
    /// <returns>The policy.</returns>
    /// <exception cref="ArgumentException">A text is no target, or there are more than <see cref="MaxRules"/>.</exception>
    public static EgressPolicy AllowOnly(params IReadOnlyList<string> targets)
    {
        ArgumentNullException.ThrowIfNull(targets);
        return DenyAll with { Rules = [.. targets.Select(EgressRule.Allow)] };
    }

    /// <summary>A policy from texts such as <c>allow *.example.org:443</c>.</summary>
    /// <param name="defaultAction">What happens where no rule matches.</param>
    /// <param name="rules">Rules as <see cref="EgressRule.Parse"/> reads them, in order.</param>
    /// <returns>The policy.</returns>
    /// <exception cref="ArgumentException">A text is no rule, or there are more than <see cref="MaxRules"/>.</exception>
    public static EgressPolicy Parse(EgressAction defaultAction, params IReadOnlyList<string> rules)
    {
        ArgumentNullException.ThrowIfNull(rules);
        return new EgressPolicy { DefaultAction = defaultAction, Rules = [.. rules.Select(EgressRule.Parse)] };
    }

    /// <summary>Same default action and the same rules in the same order.</summary>
    /// <param name="other">The other policy.</param>
    /// <returns>Whether they are equal.</returns>
    public bool Equals(EgressPolicy? other) =>
        other is not null && DefaultAction == other.DefaultAction && _rules.AsSpan().SequenceEqual(other._rules);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(DefaultAction, _rules.Length, _rules.Length > 0 ? _rules[0] : null);

    /// <summary>The default action and the number of rules.</summary>
    /// <returns>For example <c>default deny, 2 rules</c>.</returns>
    public override string ToString() => $"default {(DefaultAction == EgressAction.Allow ? "allow" : "deny")}, {_rules.Length} rules";
}
