namespace OpenSandbox.Vmm;

/// <summary>What a sandbox's VM lives as long as.</summary>
public enum SandboxLifetime
{
    /// <summary>
    /// As long as this process, however that ends: nothing is left on disk but what has been saved (hibernation, checkpoints). For programs
    /// that embed the library, and for tests.
    /// </summary>
    Attached,

    /// <summary>
    /// Until it is deleted: it outlives this process, and the next host adopts it (<see cref="SandboxHost.RecoverAsync"/>). If its VM dies it
    /// can be booted from its disks. For servers.
    /// </summary>
    Detached,
}
