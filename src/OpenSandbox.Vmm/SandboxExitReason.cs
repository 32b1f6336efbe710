namespace OpenSandbox.Vmm;

/// <summary>Why a sandbox ended.</summary>
public enum SandboxExitReason
{
    /// <summary>Its owner ended it.</summary>
    Destroyed,

    /// <summary>This host let go of it: a detached one runs on, a hibernated one is where it was.</summary>
    Released,

    /// <summary>Its guest shut down, rebooted or panicked.</summary>
    GuestEnded,

    /// <summary>QEMU ended by itself: a signal, or an error of its own.</summary>
    VmmEnded,

    /// <summary>The guest broke the protocol, or its agent stopped answering, and the VM was ended.</summary>
    GuestMisbehaved,

    /// <summary>
    /// The kernel ended QEMU because it needed more memory than its host cgroup allows: RAM, what is plugged in, and QEMU's own. A guest
    /// that keeps to what it was given does not cause this.
    /// </summary>
    HostMemoryLimit,

    /// <summary>Its time was up (<see cref="SandboxExpiry"/>): the description says which.</summary>
    Expired,
}
