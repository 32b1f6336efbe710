namespace OpenSandbox.Vmm;

/// <summary>Why a sandbox was refused something. Only added to.</summary>
public enum EgressRefusalReason
{
    /// <summary>A rule or the default action denies it; <see cref="EgressRefusal.Rule"/> says which.</summary>
    Policy,

    /// <summary>The address is guarded (private, loopback, the host's own, ...) and no rule opens it.</summary>
    GuardedAddress,

    /// <summary>The name's addresses are guarded, wholly or in part, and were left out of the answer.</summary>
    GuardedAnswer,

    /// <summary>The name is never looked up for guests unless a rule names it: a single label, <c>*.local</c>, <c>*.internal</c> and the like.</summary>
    ReservedName,

    /// <summary>The request itself is wrong, such as port 0 or a query that is no DNS message.</summary>
    Malformed,

    /// <summary>Too many connections, or queries under way, at once.</summary>
    ConcurrencyLimit,

    /// <summary>Too many connections or queries in a short time.</summary>
    RateLimit,

    /// <summary>The connection was open and a new policy does not allow it; it has been reset.</summary>
    PolicyChanged,
}
