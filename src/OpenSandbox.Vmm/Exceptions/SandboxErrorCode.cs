namespace OpenSandbox.Vmm;

/// <summary>Stable names of what went wrong, for mapping to statuses and for logs. Only added to.</summary>
public enum SandboxErrorCode
{
    /// <summary>The guest refused or failed one operation.</summary>
    OperationFailed,

    /// <summary>A file, directory or program does not exist in the guest.</summary>
    NotFound,

    /// <summary>The guest's permissions forbid it.</summary>
    PermissionDenied,

    /// <summary>A disk, in the guest or on the host, is full.</summary>
    NoSpace,

    /// <summary>The request itself is wrong.</summary>
    InvalidRequest,

    /// <summary>A limit of the sandbox was reached, such as the number of processes.</summary>
    LimitReached,

    /// <summary>Nothing listens at the guest's port.</summary>
    ConnectionRefused,

    /// <summary>The sandbox is gone.</summary>
    Lost,

    /// <summary>The sandbox never came up.</summary>
    StartFailed,

    /// <summary>The sandbox is not in a state that allows it.</summary>
    WrongState,

    /// <summary>A deadline of this library passed.</summary>
    Timeout,

    /// <summary>The host has no room.</summary>
    Capacity,

    /// <summary>A golden snapshot is missing, damaged or does not fit.</summary>
    GoldenImage,

    /// <summary>A root file system image is missing or damaged.</summary>
    Image,

    /// <summary>The host lacks something that is needed.</summary>
    HostPrerequisite,

    /// <summary>A file or directory is there already.</summary>
    AlreadyExists,

    /// <summary>A sandbox's processes hold more memory than it was to have.</summary>
    MemoryInUse,

    /// <summary>A sandbox's memory could be changed only in part.</summary>
    ResizeIncomplete,

    /// <summary>Another operation on the sandbox is under way.</summary>
    Conflict,

    /// <summary>Something that was saved is missing, damaged or does not fit.</summary>
    Snapshot,

    /// <summary>A control that was required to confine QEMU cannot be had here.</summary>
    Isolation,
}
