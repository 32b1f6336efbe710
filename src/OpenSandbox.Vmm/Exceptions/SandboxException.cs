namespace OpenSandbox.Vmm;

/// <summary>Base of everything that this library throws about sandboxes. The derived type says what can still be used.</summary>
/// <remarks>
/// <code>
/// SandboxException
/// ├─ SandboxOperationException   this call failed; the sandbox is still usable
/// ├─ SandboxTimeoutException     a deadline of this library passed
/// ├─ SandboxStateException       the sandbox is in the wrong state for the call
/// ├─ SandboxConflictException    another operation on it is under way: try later
/// ├─ SandboxSnapshotException    something saved is missing, damaged or does not fit
/// ├─ SandboxMemoryInUseException it cannot be made so small; nothing was changed
/// ├─ SandboxResizeException      it got another size than the one asked for
/// ├─ SandboxLostException        the sandbox is gone: dispose it
/// ├─ SandboxStartException       it never came up
/// ├─ SandboxIsolationException   a required control is missing on the host: Remedy says what to do
/// ├─ SandboxCapacityException    the host is full: try later
/// ├─ GoldenImageException        a golden snapshot is missing, damaged or does not fit
/// ├─ SandboxImageException       a root file system image is missing or damaged
/// └─ HostPrerequisiteException   the host lacks something: Remedy says what to do
/// </code>
/// A command's exit code is a result and never an exception. Cancellation by the caller is an <see cref="OperationCanceledException"/>.
/// </remarks>
public abstract class SandboxException : Exception
{
    private protected SandboxException(SandboxErrorCode code, string? sandboxId, string message, Exception? inner)
        : base(message, inner)
    {
        Code = code;
        SandboxId = sandboxId;
    }

    /// <summary>What went wrong, as a stable name.</summary>
    public SandboxErrorCode Code { get; }

    /// <summary>The sandbox concerned, if there is one.</summary>
    public string? SandboxId { get; }

    /// <summary>Whether the same call may succeed later without any change.</summary>
    public virtual bool IsTransient => false;
}
