using OpenSandbox.Vmm.Isolation;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm;

/// <summary>The part about what is worth knowing: accelerator, isolation, cgroups, tools, hardware shared between sandboxes.</summary>
public static partial class HostPrerequisites
{
    private static HostPrerequisite CheckAccelerator(SandboxHostOptions options, string? qemuVersion, out bool translated)
    {
        const string name = "accelerator";
        const string slower = "commands run several times slower than under KVM";
        string? whyNot = Accelerators.WhyNoKvm();
        AcceleratorVerdict? verdict = qemuVersion is null ? null : Recall(options, qemuVersion);
        translated = true;
        switch (options.Accelerator)
        {
            case AcceleratorChoice.Tcg:
                return new HostPrerequisite(name, HostPrerequisiteStatus.Ok, $"tcg, as asked for; {slower}");
            case AcceleratorChoice.Kvm when whyNot is not null:
                return new HostPrerequisite(name, HostPrerequisiteStatus.Missing, $"kvm was asked for, but {whyNot}", "Enable KVM on this host, or use accelerator 'auto'");
            case AcceleratorChoice.Auto when whyNot is not null:
                return new HostPrerequisite(name, HostPrerequisiteStatus.Info, $"tcg, as {whyNot}; {slower}", "Enable KVM on this host if it can be had");
            default:
                break;
        }

        if (verdict is null)
        {
            return new HostPrerequisite(name, HostPrerequisiteStatus.Info, "/dev/kvm opens; not yet tried whether a guest boots under it: decided at the first run");
        }

        translated = verdict.Accelerator == Accelerators.Tcg;
        return !translated
            ? new HostPrerequisite(name, HostPrerequisiteStatus.Ok, $"kvm: {verdict.Reason}")
            : options.Accelerator == AcceleratorChoice.Kvm
                ? new HostPrerequisite(name, HostPrerequisiteStatus.Missing, $"kvm was asked for, but: {verdict.Reason}", "Repair KVM on this host, or use accelerator 'auto'")
                : new HostPrerequisite(name, HostPrerequisiteStatus.Info, $"tcg, as found out at the first run since this host booted: {verdict.Reason}; {slower}");
    }

    private static AcceleratorVerdict? Recall(SandboxHostOptions options, string qemuVersion)
    {
        try
        {
            return Accelerators.Recall(options, qemuVersion);
        }
        catch (UnauthorizedAccessException)
        {
            // Another user's state directory: reported as not writable already.
            return null;
        }
    }

    private static HostPrerequisite CheckIsolation(SandboxHostOptions options, bool translated)
    {
        const string name = "isolation";
        bool isRoot = Interop.Libc.GetEffectiveUserId() == 0;
        string boundary = Jail.Boundary(translated ? Accelerators.Tcg : Accelerators.Kvm);
        return Jail.ModeOf(options.Isolation, isRoot, fullWorks: true) switch
        {
            IsolationLevel.None => new HostPrerequisite(
                name,
                HostPrerequisiteStatus.Warning,
                "none: QEMU sees the host as the calling user does. Only for code that you trust",
                isRoot ? "Choose isolation 'full'" : "Choose isolation 'rootless'"),
            IsolationLevel.Rootless => new HostPrerequisite(
                name, HostPrerequisiteStatus.Info, $"rootless: sandboxes share this user's uid and are kept apart by namespaces. {boundary}"),
            _ => new HostPrerequisite(name, HostPrerequisiteStatus.Info, $"full. {boundary}"),
        };
    }

    /// <summary>Where QEMU's cgroups would be made. Nothing is made or moved.</summary>
    private static HostPrerequisite CheckCgroups(SandboxHostOptions options)
    {
        CgroupSites sites = CgroupSites.Find(options.CgroupParent, prepare: false);
        List<string> parts = [];
        foreach (CgroupSite site in sites.Sites)
        {
            parts.Add($"{string.Join(", ", site.Controllers.Select(CgroupSite.KernelNameOf))} by {(site.IsUnified ? "v2" : "v1")} in {Path.GetDirectoryName(site.Directory)}");
        }

        bool lacks = false, requires = false;
        foreach (IsolationControl control in CgroupSites.AllControllers)
        {
            if (sites.WhyNot(control) is string why)
            {
                parts.Add($"no {CgroupSite.KernelNameOf(control)}: {why}");
                lacks = true;
                requires |= options.Isolation.Controls.Contains(control);
            }
        }

        return new HostPrerequisite(
            "cgroups",
            requires ? HostPrerequisiteStatus.Missing : lacks ? HostPrerequisiteStatus.Warning : HostPrerequisiteStatus.Ok,
            string.Join("; ", parts),
            lacks ? Jail.RemedyOf(IsolationControl.MemoryLimit) : null);
    }

    private static HostPrerequisite CheckSaving()
    {
        try
        {
            Compression.Lz4Frame.EnsureAvailable();
            return new HostPrerequisite("saving", HostPrerequisiteStatus.Ok, "liblz4 is installed: sandboxes can be hibernated, saved and exported");
        }
        catch (HostPrerequisiteException missing)
        {
            return new HostPrerequisite(
                "saving", HostPrerequisiteStatus.Warning, "liblz4.so.1 cannot be loaded: sandboxes cannot be hibernated, saved or exported", missing.Remedy);
        }
    }

    private static HostPrerequisite CheckImageTools()
    {
        (string Program, string Package)[] tools = [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("e2fsck", "e2fsprogs")];
        string[] missing = [.. tools.Where(static tool => !IsOnPath(tool.Program)).Select(static tool => tool.Package).Distinct(StringComparer.Ordinal)];
        return missing.Length == 0
            ? new HostPrerequisite("image-tools", HostPrerequisiteStatus.Ok, "mmdebstrap and e2fsprogs are installed")
            : new HostPrerequisite(
                "image-tools",
                HostPrerequisiteStatus.Warning,
                $"images cannot be built: {string.Join(" and ", missing)} is missing",
                $"apt-get install {string.Join(' ', missing)}");
    }

    private static bool IsOnPath(string program)
    {
        IEnumerable<string> folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries);
        return folders.Concat(["/usr/sbin", "/sbin"]).Any(folder => File.Exists(Path.Combine(folder, program)));
    }

    /// <summary>What tenants share below the virtual machine, through which they can observe each other.</summary>
    private static IEnumerable<HostPrerequisite> CheckSharedHardware()
    {
        const int heading = 1;
        if (TryRead("/proc/swaps") is string swaps)
        {
            yield return swaps.Trim().Split('\n').Length > heading
                ? new HostPrerequisite("swap", HostPrerequisiteStatus.Warning, "on: what sandboxes have in memory may be written to disk", "swapoff -a")
                : new HostPrerequisite("swap", HostPrerequisiteStatus.Ok, "off");
        }

        if (TryRead("/sys/kernel/mm/ksm/run") is string ksm)
        {
            yield return ksm.Trim() == "1"
                ? new HostPrerequisite("ksm", HostPrerequisiteStatus.Warning, "on: sandboxes can find out about each other's memory by timing", "echo 2 > /sys/kernel/mm/ksm/run")
                : new HostPrerequisite("ksm", HostPrerequisiteStatus.Ok, "off");
        }

        if (TryRead("/sys/devices/system/cpu/smt/active") is string smt)
        {
            yield return smt.Trim() == "1"
                ? new HostPrerequisite(
                    "smt", HostPrerequisiteStatus.Warning, "on: sandboxes that share a core can observe each other", "echo off > /sys/devices/system/cpu/smt/control, where tenants do not trust each other")
                : new HostPrerequisite("smt", HostPrerequisiteStatus.Ok, "off");
        }
    }

    private static string? TryRead(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception absent) when (absent is IOException or UnauthorizedAccessException)
        {
            // A kernel without it, or a container that hides it.
            return null;
        }
    }
}
