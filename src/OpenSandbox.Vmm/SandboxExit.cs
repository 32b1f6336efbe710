namespace OpenSandbox.Vmm;

/// <summary>How a sandbox ended.</summary>
public sealed record SandboxExit
{
    internal SandboxExit(SandboxExitReason reason, string description, string standardErrorTail = "", string consoleTail = "")
    {
        Reason = reason;
        Description = description;
        StandardErrorTail = standardErrorTail;
        ConsoleTail = consoleTail;
    }

    /// <summary>Why.</summary>
    public SandboxExitReason Reason { get; }

    /// <summary>Why, for people.</summary>
    public string Description { get; }

    /// <summary>The end of what QEMU printed, at most 16 KiB.</summary>
    public string StandardErrorTail { get; }

    /// <summary>The end of the guest kernel's console, at most 16 KiB. Written by the guest: do not trust it.</summary>
    public string ConsoleTail { get; }
}
