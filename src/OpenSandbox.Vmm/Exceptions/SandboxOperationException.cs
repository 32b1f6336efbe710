namespace OpenSandbox.Vmm;

/// <summary>One call failed; the sandbox is still usable.</summary>
public sealed class SandboxOperationException : SandboxException
{
    internal SandboxOperationException(SandboxErrorCode code, string sandboxId, int errno, string message, Exception? inner = null)
        : base(code, sandboxId, message, inner) => Errno = errno;

    internal SandboxOperationException(
        SandboxErrorCode code, string sandboxId, int errno, ProcessStartStep? failedStep, string message, Exception inner)
        : this(code, sandboxId, errno, message, inner) => FailedStep = failedStep;

    /// <summary>Which step of starting a process failed; <see langword="null"/> where none was to be started, or before any step.</summary>
    public ProcessStartStep? FailedStep { get; }

    /// <summary>The guest kernel's error number (ENOENT is 2); 0 when none was involved.</summary>
    public int Errno { get; }
}
