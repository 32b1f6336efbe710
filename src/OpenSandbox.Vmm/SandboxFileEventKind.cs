namespace OpenSandbox.Vmm;

/// <summary>What happened to a file that is watched.</summary>
public enum SandboxFileEventKind
{
    /// <summary>It came into being.</summary>
    Created,

    /// <summary>Its content changed; told again and again while it is written.</summary>
    Modified,

    /// <summary>It was closed after it had been open for writing.</summary>
    Written,

    /// <summary>Its mode, owner, times or number of links changed.</summary>
    AttributesChanged,

    /// <summary>It was moved away from this path.</summary>
    MovedFrom,

    /// <summary>It was moved to this path.</summary>
    MovedTo,

    /// <summary>It is gone.</summary>
    Deleted,

    /// <summary>Events were lost: more happened than could be told. What is there now must be looked at.</summary>
    Overflow,

    /// <summary>This directory, and perhaps more, is not watched: there are as many watches as there may be.</summary>
    WatchLimit,
}
