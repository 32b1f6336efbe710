namespace OpenSandbox.Vmm;

/// <summary>What a policy says of one request.</summary>
/// <param name="Allowed">Whether it may go on.</param>
/// <param name="Reason">Why not; only where it may not.</param>
/// <param name="Rule">The rule that decided, if one did.</param>
/// <param name="Detail">More about the reason.</param>
internal readonly record struct EgressDecision(bool Allowed, EgressRefusalReason Reason, EgressRule? Rule, string Detail)
{
    internal static EgressDecision Allow(EgressRule? rule) => new(true, default, rule, "");

    internal static EgressDecision Refuse(EgressRefusalReason reason, EgressRule? rule = null, string detail = "") => new(false, reason, rule, detail);
}
