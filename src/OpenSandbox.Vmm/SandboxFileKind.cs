namespace OpenSandbox.Vmm;

/// <summary>What a path in the guest is.</summary>
public enum SandboxFileKind
{
    /// <summary>A regular file.</summary>
    File,

    /// <summary>A directory.</summary>
    Directory,

    /// <summary>A symbolic link.</summary>
    SymbolicLink,

    /// <summary>A device, FIFO or socket.</summary>
    Other,
}
