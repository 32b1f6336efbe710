using System.Diagnostics.CodeAnalysis;
using System.Net;

namespace OpenSandbox.Vmm;

/// <summary>One rule of an <see cref="EgressPolicy"/>: an action for a target, perhaps for some ports only. Immutable.</summary>
/// <remarks>
/// Targets: <c>pypi.org</c>, <c>*.pythonhosted.org</c> (not <c>pythonhosted.org</c> itself), <c>93.184.215.14</c>, <c>10.0.0.0/8</c>,
/// <c>2606:4700::/32</c>, <c>*</c>. Ports follow a colon, as a list of ports and ranges; IPv6 is then in brackets:
/// <c>*.example.org:443</c>, <c>10.0.0.0/8:80,8000-8999</c>, <c>[2606:4700::/32]:443</c>. Names are compared without regard to case and
/// to a final dot; names that are not ASCII are turned into punycode. The address bits behind a prefix are cleared.
/// <code>
/// EgressRule web = EgressRule.Allow("*.example.org:443");
/// EgressRule internalNetwork = EgressRule.Parse("deny 10.0.0.0/8");
/// </code>
/// </remarks>
public sealed record EgressRule
{
    /// <summary>Most ports and ranges in one rule.</summary>
    public const int MaxPortRanges = 32;

    internal EgressRule(EgressAction action, EgressTargetKind kind, string target, IPNetwork? network, EgressPortRange[] ports)
    {
        Action = action;
        Kind = kind;
        Target = target;
        Network = network;
        PortRanges = ports;
        Ports = Array.AsReadOnly(ports);
    }

    /// <summary>What to do with what matches.</summary>
    public EgressAction Action { get; }

    /// <summary>What <see cref="Target"/> names.</summary>
    public EgressTargetKind Kind { get; }

    /// <summary>The target in normal form: lower case, ASCII, no final dot, no ports and no brackets.</summary>
    public string Target { get; }

    /// <summary>The ports it is limited to, ascending as given. Empty: all ports.</summary>
    public IReadOnlyList<EgressPortRange> Ports { get; }

    /// <summary>The addresses, for targets that are addresses; one address is a network of full length.</summary>
    internal IPNetwork? Network { get; }

    internal EgressPortRange[] PortRanges { get; }

    /// <summary>A rule that allows a target.</summary>
    /// <param name="target">A target, with or without ports; see the type's remarks.</param>
    /// <returns>The rule.</returns>
    /// <exception cref="ArgumentException">The text is no target.</exception>
    public static EgressRule Allow(string target) => EgressRuleParser.Parse(EgressAction.Allow, target);

    /// <summary>A rule that denies a target.</summary>
    /// <param name="target">A target, with or without ports; see the type's remarks.</param>
    /// <returns>The rule.</returns>
    /// <exception cref="ArgumentException">The text is no target.</exception>
    public static EgressRule Deny(string target) => EgressRuleParser.Parse(EgressAction.Deny, target);

    /// <summary>Reads <c>allow TARGET</c> or <c>deny TARGET</c>.</summary>
    /// <param name="text">The text; the action in any case, then spaces, then a target with or without ports.</param>
    /// <returns>The rule.</returns>
    /// <exception cref="ArgumentException">The text is no rule; the message says why.</exception>
    public static EgressRule Parse(string text) => EgressRuleParser.Parse(text);

    /// <summary>Reads a rule as <see cref="Parse"/> does.</summary>
    /// <param name="text">The text.</param>
    /// <param name="rule">The rule, if it is one.</param>
    /// <returns>Whether it is a rule.</returns>
    public static bool TryParse([NotNullWhen(true)] string? text, [NotNullWhen(true)] out EgressRule? rule) =>
        EgressRuleParser.TryParse(text, out rule);

    /// <summary>Whether the rule applies to a port; <see langword="null"/> asks for at least one port.</summary>
    internal bool Covers(int? port)
    {
        if (PortRanges.Length == 0 || port is null)
        {
            return true;
        }

        foreach (EgressPortRange range in PortRanges)
        {
            if (range.Contains(port.Value))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Same action, target and ports.</summary>
    /// <param name="other">The other rule.</param>
    /// <returns>Whether they are equal.</returns>
    public bool Equals(EgressRule? other) => other is not null && Action == other.Action && Kind == other.Kind
        && string.Equals(Target, other.Target, StringComparison.Ordinal) && PortRanges.AsSpan().SequenceEqual(other.PortRanges);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Action, Target.GetHashCode(StringComparison.Ordinal), PortRanges.Length);

    /// <summary>The rule as <see cref="Parse"/> reads it.</summary>
    /// <returns>For example <c>allow *.example.org:443</c>.</returns>
    public override string ToString()
    {
        string action = Action == EgressAction.Allow ? "allow" : "deny";
        if (PortRanges.Length == 0)
        {
            return $"{action} {Target}";
        }

        string target = Target.Contains(':', StringComparison.Ordinal) ? $"[{Target}]" : Target;
        return $"{action} {target}:{string.Join(',', PortRanges)}";
    }
}
