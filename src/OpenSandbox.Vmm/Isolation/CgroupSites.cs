using System.Globalization;
using System.Runtime.InteropServices;
using OpenSandbox.Cgroups;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Isolation;

/// <summary>
/// Finds out where this process may make cgroups: cgroup v2 that has been delegated to it, hierarchies of v1 that it can write, or none. What
/// counts is the kind of the file system (statfs): below the tmpfs that hybrid hosts have at /sys/fs/cgroup every write succeeds and confines
/// nothing.
/// </summary>
internal sealed class CgroupSites
{
    internal static readonly IReadOnlyList<IsolationControl> AllControllers =
        [IsolationControl.MemoryLimit, IsolationControl.ProcessLimit, IsolationControl.CpuLimit];

    private const string HostName = "opensandbox-host";

    private readonly List<CgroupSite> _sites = [];
    private readonly Dictionary<IsolationControl, string> _missing = [];

    private CgroupSites()
    {
    }

    /// <summary>Where; every controller at most once.</summary>
    internal IReadOnlyList<CgroupSite> Sites => _sites;

    /// <summary>Why a controller cannot be had; null if it can.</summary>
    internal string? WhyNot(IsolationControl controller) => _missing.GetValueOrDefault(controller);

    /// <summary>Looks around, and makes the groups that hold those of VMs.</summary>
    /// <param name="parent"><see cref="SandboxHostOptions.CgroupParent"/>.</param>
    /// <param name="prepare">Whether groups are made and controllers enabled; otherwise it is only said what would be tried.</param>
    internal static CgroupSites Find(string? parent, bool prepare)
    {
        var found = new CgroupSites();
        string mountInfo, own;
        try
        {
            mountInfo = File.ReadAllText("/proc/self/mountinfo");
            own = File.ReadAllText("/proc/self/cgroup");
        }
        catch (Exception hidden) when (hidden is IOException or UnauthorizedAccessException)
        {
            found.MissAll($"/proc does not show cgroups: {hidden.Message}");
            return found;
        }

        found.Look(CgroupMount.Parse(mountInfo), own, parent, prepare);
        return found;
    }

    private void Look(List<CgroupMount> mounts, string own, string? parent, bool prepare)
    {
        if (parent is not null)
        {
            TryUnified(parent, isChosen: true, prepare);
            return;
        }

        // v1 first: a controller is in one hierarchy or in the other, and where it is in v1 the unified one does not list it.
        foreach (IsolationControl controller in AllControllers)
        {
            string name = CgroupSite.KernelNameOf(controller);
            if (mounts.Find(mount => !mount.IsUnified && mount.Controllers.Contains(name, StringComparer.Ordinal)) is CgroupMount mount)
            {
                TryFirstVersion(controller, mount.FindOwn(own), prepare);
            }
        }

        if (AllControllers.Any(IsOpen))
        {
            if (mounts.Find(static mount => mount.IsUnified)?.FindOwn(own) is string unified)
            {
                TryUnified(unified, isChosen: false, prepare);
            }

            foreach (IsolationControl controller in AllControllers.Where(IsOpen))
            {
                _missing[controller] = $"no hierarchy with the controller '{CgroupSite.KernelNameOf(controller)}' is mounted";
            }
        }
    }

    private bool IsOpen(IsolationControl controller) =>
        !_missing.ContainsKey(controller) && !_sites.Exists(site => site.Controllers.Contains(controller));

    private void MissAll(string why)
    {
        foreach (IsolationControl controller in AllControllers.Where(IsOpen))
        {
            _missing[controller] = why;
        }
    }

    private void TryFirstVersion(IsolationControl controller, string? directory, bool prepare)
    {
        string name = CgroupSite.KernelNameOf(controller);
        if (directory is null || Libc.FileSystemOf(directory) != Libc.CGROUP_SUPER_MAGIC)
        {
            _missing[controller] = $"this process's own cgroup of the v1 hierarchy '{name}' is not to be seen";
            return;
        }

        string site = Path.Combine(directory, CgroupSite.Name);
        string? refusal = prepare ? Make(site, Libc.CGROUP_SUPER_MAGIC) : IsWritable(directory);
        if (refusal is not null)
        {
            _missing[controller] = $"no cgroup can be made in {directory}: {refusal}";
            return;
        }

        // One hierarchy may have several controllers (cpu,cpuacct): the group is the same.
        _sites.Add(new CgroupSite(IsUnified: false, site, [controller]));
    }

    /// <summary>
    /// A cgroup v2 with processes cannot give controllers to groups below it. So a delegated one is used that has none, or the one above, or,
    /// if this process is alone in it, it goes into a group of its own below.
    /// </summary>
    private void TryUnified(string own, bool isChosen, bool prepare)
    {
        if (Libc.FileSystemOf(own) != Libc.CGROUP2_SUPER_MAGIC)
        {
            MissAll($"{own} is no cgroup v2");
            return;
        }

        List<IsolationControl> wanted = [.. AllControllers.Where(IsOpen)];
        string? above = Path.GetDirectoryName(own);
        string? parent = isChosen || Offers(own, wanted) ? own
            : above is not null && IsDelegated(above) ? above
            : IsDelegated(own) ? own
            : null;
        if (parent is null)
        {
            MissAll($"{own} has not been delegated to this process");
            return;
        }

        List<IsolationControl> available = [.. wanted.Where(controller => Lists(parent, "cgroup.controllers", controller))];
        foreach (IsolationControl controller in wanted.Except(available))
        {
            _missing[controller] = $"{parent} has no controller '{CgroupSite.KernelNameOf(controller)}'";
        }

        if (available.Count == 0)
        {
            return;
        }

        string? refusal = prepare ? Enable(parent, available) : IsWritable(parent);
        string site = Path.Combine(parent, CgroupSite.Name);
        refusal ??= prepare ? Make(site, Libc.CGROUP2_SUPER_MAGIC) ?? Enable(site, available) : null;
        if (refusal is not null)
        {
            MissAll(refusal);
            return;
        }

        _sites.Add(new CgroupSite(IsUnified: true, site, available));
    }

    private static bool Offers(string directory, List<IsolationControl> controllers) =>
        controllers.TrueForAll(controller => Lists(directory, "cgroup.subtree_control", controller)) && IsWritable(directory) is null;

    private static bool Lists(string directory, string file, IsolationControl controller)
    {
        try
        {
            return File.ReadAllText(Path.Combine(directory, file)).Split((char[])[' ', '\n']).Contains(CgroupSite.KernelNameOf(controller), StringComparer.Ordinal);
        }
        catch (Exception absent) when (absent is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>systemd marks what it has delegated; a container's own root, and a group that belongs to the user, are as good.</summary>
    private static unsafe bool IsDelegated(string directory)
    {
        if (Libc.FileSystemOf(directory) != Libc.CGROUP2_SUPER_MAGIC)
        {
            return false;
        }

        foreach (string mark in (ReadOnlySpan<string>)["trusted.delegate", "user.delegate"])
        {
            byte value = 0;

            // JUSTIFICATION: there is no managed call for extended attributes.
            // SAFETY: one byte is offered, and its size said.
            if (Libc.GetXAttr(directory, mark, &value, 1) == 1 && value == (byte)'1')
            {
                return true;
            }
        }

        bool isRoot = Libc.GetEffectiveUserId() == 0;
        return isRoot
            ? !File.Exists(Path.Combine(directory, "cgroup.type")) && IsWritable(directory) is null // only the hierarchy's root has none
            : IsWritable(directory) is null;
    }

    private static string? Enable(string directory, List<IsolationControl> controllers)
    {
        string list = string.Join(' ', controllers.Select(static controller => "+" + CgroupSite.KernelNameOf(controller)));
        try
        {
            using Cgroup group = Cgroup.Open(directory);
            try
            {
                group.EnableControllers(list);
                return null;
            }
            catch (CgroupException busy) when (busy.Errno == Errno.EBUSY && HasOnlyThisProcess(directory))
            {
                using Cgroup host = group.CreateChild(HostName);
                host.Write("cgroup.procs", Environment.ProcessId.ToString(CultureInfo.InvariantCulture));
                group.EnableControllers(list);
                return null;
            }
        }
        catch (CgroupException refused)
        {
            return refused.Errno == Errno.EBUSY
                ? $"{directory} has processes beside this one, and so cannot give controllers to groups below it"
                : refused.Message;
        }
    }

    private static bool HasOnlyThisProcess(string directory) =>
        File.ReadAllLines(Path.Combine(directory, "cgroup.procs")).All(static line => line == Environment.ProcessId.ToString(CultureInfo.InvariantCulture));

    /// <summary>Makes a group, or finds it there. Returns why it cannot be had.</summary>
    internal static string? Make(string directory, long magic)
    {
        const uint mode = 0x1ED; // 0755
        int errno = Libc.MkDir(directory, mode) == 0 ? 0 : Marshal.GetLastPInvokeError();
        return errno is not 0 and not Errno.EEXIST ? Errno.Describe(errno)
            : Libc.FileSystemOf(directory) != magic ? "it is not on a cgroup file system"
            : IsWritable(directory);
    }

    private static string? IsWritable(string directory)
    {
        const int write = 2, search = 1;
        return Libc.Access(directory, write | search) == 0 ? null : Errno.Describe(Marshal.GetLastPInvokeError());
    }
}
