using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Snapshots;

namespace OpenSandbox.Vmm.Lifecycle;

/// <summary>A sandbox at one instant: memory and disks that belong together.</summary>
/// <param name="Golden">The golden snapshot that the memory is a copy of.</param>
/// <param name="Memory">The memory, or nothing if only the disks were cut.</param>
/// <param name="Disks">The disks.</param>
/// <param name="Limits">The limits in force.</param>
/// <param name="Stopped">For how long the machine was stopped, from the command to stop it until it ran again.</param>
internal sealed record SandboxCut(GoldenReference Golden, MachineCut? Memory, FrozenDisks Disks, SandboxLimits Limits, TimeSpan Stopped) : IDisposable
{
    /// <summary>For how long the guest's processes stood still, which begins before and ends after that.</summary>
    internal TimeSpan StoodStill { get; init; }

    public void Dispose()
    {
        Memory?.Dispose();
        Disks.Dispose();
    }
}
