namespace OpenSandbox.Vmm;

/// <summary>
/// A sandbox's memory changed, but not as far as was asked: the guest's kernel could not let go of, or take in, all of it. The limits match
/// what is there, the sandbox is usable, and the call may be repeated.
/// </summary>
public sealed class SandboxResizeException : SandboxException
{
    internal SandboxResizeException(string sandboxId, int requestedMib, SandboxLimits limits)
        : base(
            SandboxErrorCode.ResizeIncomplete,
            sandboxId,
            $"sandbox {sandboxId} was to have {requestedMib} MiB of memory and has {limits.MemoryMib} MiB now: the guest's kernel came no further. "
                + "Its limits match what it has",
            null)
    {
        RequestedMib = requestedMib;
        Limits = limits;
    }

    /// <summary>The size that was asked for, MiB.</summary>
    public int RequestedMib { get; }

    /// <summary>What is in force now.</summary>
    public SandboxLimits Limits { get; }

    /// <inheritdoc/>
    public override bool IsTransient => true;
}
