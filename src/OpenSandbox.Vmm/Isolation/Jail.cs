using OpenSandbox.Interop;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Isolation;

/// <summary>Which jail the launcher is to make, and what has come of it.</summary>
internal static class Jail
{
    private const string RootRemedy = "Run the host as root, or require no more than IsolationLevel.Rootless (docs/isolation.md)";

    /// <summary>What asking for a limit of CPU time amounts to.</summary>
    internal static IsolationRequirement WithCpuLimit { get; } = IsolationRequirement.Make(null, [IsolationControl.CpuLimit]);

    /// <summary>What the launcher calls the controls that it may report as missing.</summary>
    private static readonly (IsolationControl Control, string Name)[] s_names =
    [
        (IsolationControl.OwnUser, "uid-per-sandbox"),
        (IsolationControl.Namespaces, "namespaces"),
        (IsolationControl.OwnRoot, "filesystem-root"),
        (IsolationControl.OwnProc, "own-proc"),
        (IsolationControl.NoCapabilities, "bounding-set"),
        (IsolationControl.NoGroups, "supplementary-groups"),
        (IsolationControl.FileRules, "file-rules"),
    ];

    /// <summary>The jail to be made for a requirement.</summary>
    /// <param name="requirement">What is required.</param>
    /// <param name="isRoot">Whether this process is root.</param>
    /// <param name="fullWorks">Whether root's jail can be made here; matters only where less would do.</param>
    internal static IsolationLevel ModeOf(IsolationRequirement requirement, bool isRoot, bool fullWorks) => requirement.Level switch
    {
        IsolationLevel.None => IsolationLevel.None,
        _ when !isRoot => IsolationLevel.Rootless,
        null => fullWorks ? IsolationLevel.Full : IsolationLevel.None,
        _ => IsolationLevel.Full,
    };

    /// <summary>Makes sure, before anything is started, that what is required can be had as far as that is known.</summary>
    /// <exception cref="SandboxIsolationException">It cannot.</exception>
    internal static void EnsurePossible(string? name, IsolationRequirement requirement, bool isRoot, HostCgroups cgroups)
    {
        if (requirement.Level == IsolationLevel.Full && !isRoot)
        {
            throw new SandboxIsolationException(
                name, IsolationControl.OwnUser, $"this process runs as user {Libc.GetEffectiveUserId()}, and only root gives each sandbox a uid of its own", RootRemedy);
        }

        foreach (IsolationControl control in requirement.Controls)
        {
            if (CgroupSites.AllControllers.Contains(control) && cgroups.WhyNot(control) is string why)
            {
                throw new SandboxIsolationException(name, control, why, RemedyOf(control));
            }
        }
    }

    /// <summary>The launcher's options.</summary>
    internal static List<string> Options(IsolationLevel mode, IsolationRequirement requirement, VmCgroup? cgroup)
    {
        List<string> options = ["--isolation", mode switch { IsolationLevel.Full => "full", IsolationLevel.Rootless => "rootless", _ => "none" }];
        string required = string.Join(',', s_names
            .Where(entry => requirement.Controls.Contains(entry.Control)
                || (mode == IsolationLevel.Rootless && SandboxIsolation.Of(requirement.Level).Contains(entry.Control)))
            .Select(static entry => entry.Name));
        if (required.Length > 0)
        {
            options.AddRange(["--require", required]);
        }

        foreach (string directory in cgroup?.Directories ?? [])
        {
            options.AddRange(["--cgroup", directory]);
        }

        return options;
    }

    /// <summary>What is in force around a VM.</summary>
    internal static SandboxIsolation Describe(VmConfinement confinement, VmmContext context, VmCgroup? cgroup, string accelerator)
    {
        var states = new List<IsolationControlState>();
        foreach (IsolationControl control in Enum.GetValues<IsolationControl>())
        {
            (bool inForce, string detail) = StateOf(control, confinement, context, cgroup);
            states.Add(new IsolationControlState(control, inForce, detail));
        }

        return new SandboxIsolation(states, Boundary(accelerator));
    }

    /// <summary>Of a VM of which no record says how it was confined.</summary>
    internal static SandboxIsolation Unknown(string accelerator) => new(
        [.. Enum.GetValues<IsolationControl>().Select(static control => new IsolationControlState(control, false, "not known: the host that started it did not write it down"))],
        Boundary(accelerator));

    internal static string Boundary(string accelerator) => accelerator == Accelerators.Tcg
        ? "tcg: the jail around QEMU is the boundary; QEMU's own security policy does not cover TCG"
        : $"{accelerator}: the virtual machine is the boundary, and the jail around QEMU stands behind it";

    /// <summary>What a launcher's failure says about a control; null if it is about something else.</summary>
    internal static SandboxIsolationException? FindCause(string? name, string? error)
    {
        const string required = "required ";
        if (error is null)
        {
            return null;
        }

        foreach ((IsolationControl control, string text) in s_names)
        {
            if (error.StartsWith(required + text, StringComparison.Ordinal))
            {
                return new SandboxIsolationException(name, control, error[required.Length..], RemedyOf(control));
            }
        }

        IsolationControl? step =
            error.StartsWith("create process and namespaces", StringComparison.Ordinal) || error.StartsWith("cgroup namespace", StringComparison.Ordinal) ? IsolationControl.Namespaces
            : error.StartsWith("filesystem:", StringComparison.Ordinal) ? IsolationControl.OwnRoot
            : error.StartsWith("drop capability", StringComparison.Ordinal) ? IsolationControl.NoCapabilities
            : error.StartsWith("setgroups", StringComparison.Ordinal) ? IsolationControl.NoGroups
            : error.StartsWith("setres", StringComparison.Ordinal) ? IsolationControl.OwnUser
            : error.StartsWith("system call filter", StringComparison.Ordinal) ? IsolationControl.SystemCallFilter
            : error.StartsWith("no_new_privs", StringComparison.Ordinal) ? IsolationControl.NoNewPrivileges
            : error.StartsWith("join cgroup", StringComparison.Ordinal) || error.StartsWith("open cgroup", StringComparison.Ordinal) ? IsolationControl.MemoryLimit
            : null;
        return step is IsolationControl failed ? new SandboxIsolationException(name, failed, error, RemedyOf(failed)) : null;
    }

    internal static string RemedyOf(IsolationControl control) => control switch
    {
        IsolationControl.OwnUser => RootRemedy,
        IsolationControl.Namespaces or IsolationControl.OwnRoot or IsolationControl.OwnProc =>
            "Allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), "
                + "or in a container give it CAP_SYS_ADMIN and allow mounts; see docs/isolation.md",
        IsolationControl.NoGroups => "Run the host without supplementary groups, or as root",
        IsolationControl.FileRules => "Use Linux 5.13 or newer with Landlock (CONFIG_SECURITY_LANDLOCK, and 'landlock' among lsm=)",
        IsolationControl.MemoryLimit or IsolationControl.ProcessLimit or IsolationControl.CpuLimit =>
            "Run the host in a unit with Delegate=yes, or name a cgroup of its own (SandboxHostOptions.CgroupParent, OPENSANDBOX_CGROUP); see docs/isolation.md",
        _ => "See docs/isolation.md",
    };

    private static (bool InForce, string Detail) StateOf(IsolationControl control, VmConfinement confinement, VmmContext context, VmCgroup? cgroup)
    {
        bool jailed = confinement.Mode != IsolationLevel.None && FindMissing(confinement, IsolationControl.Namespaces) is null;
        switch (control)
        {
            case IsolationControl.OwnUser when confinement.OwnUser:
                return (true, "a uid that no other sandbox has");
            case IsolationControl.OwnUser:
                return (false, "all sandboxes of this user share its uid");
            case IsolationControl.Namespaces or IsolationControl.OwnRoot or IsolationControl.OwnProc when confinement.Mode == IsolationLevel.None:
                return (false, "no jail was asked for, or root's could not be made");
            case IsolationControl.OwnRoot or IsolationControl.OwnProc when !jailed:
                return (false, "it needs namespaces");
            case IsolationControl.FileRules when !confinement.FileRules:
                return (false, "not needed: with a root and a uid of its own there is nothing to open; require it to have it besides");
            case IsolationControl.MemoryLimit or IsolationControl.ProcessLimit or IsolationControl.CpuLimit when cgroup?.Controls(control) == true:
                return (true, cgroup.ByController[control]);
            case IsolationControl.CpuLimit when context.Cgroups.WhyNot(control) is null:
                return (false, "not asked for (SandboxSpec.HostCpuMaxPercent)");
            case IsolationControl.MemoryLimit or IsolationControl.ProcessLimit or IsolationControl.CpuLimit:
                return (false, context.Cgroups.WhyNot(control) ?? "it was started without");
            case IsolationControl.SystemCallFilter or IsolationControl.NoNewPrivileges or IsolationControl.ResourceLimits or IsolationControl.SealedMemory:
                return (true, "always: nothing is started without it");
            default:
                return FindMissing(confinement, control) is string why ? (false, why) : (true, "made by the launcher");
        }
    }

    private static string? FindMissing(VmConfinement confinement, IsolationControl control)
    {
        foreach ((IsolationControl named, string name) in s_names)
        {
            if (named == control)
            {
                return confinement.Missing.FirstOrDefault(
                    missing => missing == name || missing.StartsWith(name + ":", StringComparison.Ordinal));
            }
        }

        return null;
    }
}
