namespace OpenSandbox.Vmm;

/// <summary>
/// How much stands between QEMU and the host, strongest first. Under TCG this jail, not QEMU, is the boundary. What belongs to a level, and
/// which of it is in force, is told by <see cref="SandboxIsolation"/>.
/// </summary>
public enum IsolationLevel
{
    /// <summary>
    /// Own mount, pid, network, IPC, UTS and cgroup namespaces, an empty root, a uid of its own, no capabilities, a seccomp filter. Needs
    /// root; fails closed.
    /// </summary>
    Full,

    /// <summary>
    /// The same through a user namespace, for a host that does not run as root: all its sandboxes share its uid, and namespaces, Landlock
    /// and the seccomp filter keep them apart. Root gets <see cref="Full"/> instead.
    /// </summary>
    Rootless,

    /// <summary>
    /// No namespaces: descriptors, limits, the seccomp filter, Landlock where the kernel has it and, as root, a uid of its own. QEMU sees the
    /// host's processes and network. Not for untrusted code under TCG.
    /// </summary>
    None,
}
