namespace OpenSandbox.Vmm;

/// <summary>How a sandbox came back.</summary>
public sealed record SandboxWake
{
    internal SandboxWake(bool memoryRestored, IReadOnlyList<string> reasons, TimeSpan duration)
    {
        MemoryRestored = memoryRestored;
        Reasons = reasons;
        Duration = duration;
    }

    /// <summary>
    /// Whether it went on where it was, with all its memory and processes. If not, it was booted from its disks, which are as they were at the
    /// same instant, and <see cref="Reasons"/> says why.
    /// </summary>
    public bool MemoryRestored { get; }

    /// <summary>Why the memory could not be used, each as one sentence; empty if it was.</summary>
    public IReadOnlyList<string> Reasons { get; }

    /// <summary>From the start of the wake until the guest had resumed.</summary>
    public TimeSpan Duration { get; }
}
