namespace OpenSandbox.Vmm;

/// <summary>Why a sandbox may not have the size that its own processes asked for.</summary>
internal enum GuestScaleRefusal
{
    /// <summary>It was not refused.</summary>
    None,

    /// <summary>This sandbox may not scale itself.</summary>
    NotAllowed,

    /// <summary>The request makes no sense, or goes beyond what this sandbox may have.</summary>
    Invalid,

    /// <summary>It was tried, or cannot be done now.</summary>
    Failed,
}
