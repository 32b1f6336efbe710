namespace OpenSandbox.Vmm;

/// <summary>What a rule, or a policy without a matching rule, does with a destination.</summary>
public enum EgressAction
{
    /// <summary>The sandbox may reach it.</summary>
    Allow,

    /// <summary>The sandbox may not reach it.</summary>
    Deny,
}
