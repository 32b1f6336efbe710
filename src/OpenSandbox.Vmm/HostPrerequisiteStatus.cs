namespace OpenSandbox.Vmm;

/// <summary>Whether a prerequisite holds.</summary>
public enum HostPrerequisiteStatus
{
    /// <summary>It holds.</summary>
    Ok,

    /// <summary>Worth knowing; nothing to be done.</summary>
    Info,

    /// <summary>Sandboxes work, but something about the host makes them slower or less well isolated, or a later step will fail.</summary>
    Warning,

    /// <summary>Without it there are no sandboxes.</summary>
    Missing,
}
