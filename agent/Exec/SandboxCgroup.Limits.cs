using OpenSandbox.Cgroups;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <content>Limits of a sandbox that runs.</content>
internal sealed partial class SandboxCgroup
{
    /// <summary>The group, opened anew: for other threads than the one that owns this object. The caller's to dispose of.</summary>
    internal Cgroup OpenGroup() => _root.OpenChild(Name);

    /// <summary>Remembers limits that were set on the group, for when it must be rebuilt; what is absent stays.</summary>
    internal void Note(GuestLimits limits)
    {
        _limits = new GuestLimits
        {
            PidsMax = limits.PidsMax ?? _limits.PidsMax,
            MemoryMaxBytes = limits.MemoryMaxBytes ?? _limits.MemoryMaxBytes,
            CpuMaxPercent = limits.CpuMaxPercent ?? _limits.CpuMaxPercent,
        };
        _applied = null;
    }
}
