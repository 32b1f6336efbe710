namespace OpenSandbox.Vmm;

/// <summary>What stands between QEMU and the host. Under TCG this jail, not QEMU, is the boundary.</summary>
public enum IsolationLevel
{
    /// <summary>
    /// Own mount, pid, network, IPC, UTS and cgroup namespaces, an empty root, a uid of its own, no capabilities, a seccomp filter. Needs
    /// root; fails closed.
    /// </summary>
    Full,

    /// <summary>
    /// Only descriptors, limits, the seccomp filter and, as root, a uid of its own: QEMU keeps the caller's view of the host. For development without root; not for
    /// untrusted code under TCG.
    /// </summary>
    None,
}
