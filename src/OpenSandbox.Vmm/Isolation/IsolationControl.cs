namespace OpenSandbox.Vmm;

/// <summary>One thing that confines QEMU. Only added to.</summary>
public enum IsolationControl
{
    /// <summary>A uid and gid that no other sandbox and no user of the host has.</summary>
    OwnUser,

    /// <summary>Own mount, pid, network, IPC, UTS and cgroup namespaces.</summary>
    Namespaces,

    /// <summary>A root of its own, read-only and all but empty, and no way back to the host's (pivot_root).</summary>
    OwnRoot,

    /// <summary>A <c>/proc</c> that shows its own processes only.</summary>
    OwnProc,

    /// <summary>No capabilities, and none to be got: the bounding set is empty.</summary>
    NoCapabilities,

    /// <summary>No supplementary groups.</summary>
    NoGroups,

    /// <summary>
    /// Landlock: files are opened below <c>/usr</c> and for reading alone, and nothing outside is signalled. What keeps shared images
    /// safe where sandboxes share a uid.
    /// </summary>
    FileRules,

    /// <summary>The launcher's system call filter (seccomp), beside QEMU's own.</summary>
    SystemCallFilter,

    /// <summary>No setuid program gives it anything (no_new_privs).</summary>
    NoNewPrivileges,

    /// <summary>Limits of descriptors, locked memory and core files; nothing inherited but what it was given.</summary>
    ResourceLimits,

    /// <summary>The golden RAM that all sandboxes share is sealed against every change.</summary>
    SealedMemory,

    /// <summary>A host cgroup limits its memory, whatever its guest's kernel does.</summary>
    MemoryLimit,

    /// <summary>A host cgroup limits its threads.</summary>
    ProcessLimit,

    /// <summary>A host cgroup limits its CPU time, where <see cref="SandboxSpec.HostCpuMaxPercent"/> asks for that.</summary>
    CpuLimit,
}
