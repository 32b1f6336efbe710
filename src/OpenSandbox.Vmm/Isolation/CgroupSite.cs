namespace OpenSandbox.Vmm.Isolation;

/// <summary>Where the cgroups of VMs are made for some controllers.</summary>
/// <param name="IsUnified">Whether this is cgroup v2, where one group serves all controllers.</param>
/// <param name="Directory">The cgroup that they are made in: this library's, and removed when it is empty.</param>
/// <param name="Controllers">What is limited there.</param>
internal sealed record CgroupSite(bool IsUnified, string Directory, IReadOnlyList<IsolationControl> Controllers)
{
    /// <summary>Name of the cgroup that holds those of VMs.</summary>
    internal const string Name = "opensandbox";

    /// <summary>The controller as the kernel calls it.</summary>
    internal static string KernelNameOf(IsolationControl control) => control switch
    {
        IsolationControl.MemoryLimit => "memory",
        IsolationControl.ProcessLimit => "pids",
        IsolationControl.CpuLimit => "cpu",
        _ => throw new ArgumentOutOfRangeException(nameof(control), control, "no cgroup controls this"),
    };
}
