namespace OpenSandbox.Vmm;

/// <summary>Where a sandbox is in its life.</summary>
public enum SandboxState
{
    /// <summary>It runs and answers.</summary>
    Running,

    /// <summary>It is being ended.</summary>
    Stopping,

    /// <summary>It has ended.</summary>
    Stopped,
}
