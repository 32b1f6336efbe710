namespace OpenSandbox.Vmm;

/// <summary>What happens to a sandbox whose time is up.</summary>
public enum SandboxExpiryAction
{
    /// <summary>It is ended and deleted, with everything that was saved of it but its checkpoints.</summary>
    Kill,

    /// <summary>It is hibernated, and can be woken.</summary>
    Hibernate,
}
