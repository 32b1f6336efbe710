using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <summary>Turns what the channel throws into what users of this library catch.</summary>
internal static class GuestErrors
{
    /// <summary>Whether it is the channel's to explain. Cancellation and mistakes of the caller, such as use after dispose, pass through.</summary>
    internal static bool Concerns(Exception failure) => failure is GuestOperationException or GuestChannelException;

    /// <summary>The exception to throw instead.</summary>
    internal static async ValueTask<SandboxException> TranslateAsync(Sandbox sandbox, string what, Exception failure)
    {
        if (failure is GuestOperationException refused)
        {
            return new SandboxOperationException(
                CodeOf(refused.Errno, refused.Code), sandbox.Id, refused.Errno, StepOf(refused.Step), $"sandbox {sandbox.Id}: {what}: {refused.Message}", refused);
        }

        return await sandbox.ExplainEndAsync(failure).ConfigureAwait(false);
    }

    /// <summary>The exception for one of several files.</summary>
    internal static SandboxOperationException Translate(Sandbox sandbox, string what, ItemError error) => new(
        CodeOf(error.Errno, error.Code), sandbox.Id, error.Errno, $"sandbox {sandbox.Id}: {what}: {error.Message}");

    private static ProcessStartStep? StepOf(string? step) => step switch
    {
        StartSteps.User => ProcessStartStep.User,
        StartSteps.Streams => ProcessStartStep.Streams,
        StartSteps.Clone => ProcessStartStep.Fork,
        StartSteps.Limits => ProcessStartStep.Limits,
        StartSteps.Session or StartSteps.StandardDescriptors or StartSteps.Groups or StartSteps.Gid or StartSteps.Uid => ProcessStartStep.Identity,
        StartSteps.WorkingDirectory => ProcessStartStep.WorkingDirectory,
        StartSteps.Exec => ProcessStartStep.Program,
        _ => null,
    };

    private static SandboxErrorCode CodeOf(int errno, string code) => errno switch
    {
        Errno.ENOENT or Errno.ENOTDIR or Errno.ESRCH => SandboxErrorCode.NotFound,
        Errno.EPERM or Errno.EACCES => SandboxErrorCode.PermissionDenied,
        Errno.EEXIST => SandboxErrorCode.AlreadyExists,
        Errno.ENOSPC => SandboxErrorCode.NoSpace,
        Errno.ECONNREFUSED => SandboxErrorCode.ConnectionRefused,
        Errno.EAGAIN => SandboxErrorCode.LimitReached,
        _ => code switch
        {
            AgentErrorCodes.InvalidRequest or AgentErrorCodes.UnknownUser => SandboxErrorCode.InvalidRequest,
            AgentErrorCodes.LimitReached => SandboxErrorCode.LimitReached,
            _ => SandboxErrorCode.OperationFailed,
        },
    };
}
