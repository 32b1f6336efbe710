namespace OpenSandbox.Vmm;

/// <summary>What the target of an <see cref="EgressRule"/> names.</summary>
public enum EgressTargetKind
{
    /// <summary><c>*</c>: every name and every address that is not guarded.</summary>
    Any,

    /// <summary>One domain name, such as <c>pypi.org</c>.</summary>
    Domain,

    /// <summary>Every name below a domain but not the domain itself, such as <c>*.pythonhosted.org</c>.</summary>
    Subdomains,

    /// <summary>One IP address.</summary>
    Address,

    /// <summary>A range of IP addresses in CIDR notation.</summary>
    Network,
}
