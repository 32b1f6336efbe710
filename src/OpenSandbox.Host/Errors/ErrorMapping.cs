using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Errors;

/// <summary>Which HTTP status each error of the library is.</summary>
internal static class ErrorMapping
{
    /// <summary>Translates what the library reports.</summary>
    internal static ApiException From(SandboxException failure) => new(StatusOf(failure), failure.Message, failure)
    {
        Code = CodeOf(failure.Code),
        Retryable = failure.IsTransient,
        RetryAfter = failure.IsTransient ? 1 : null,
    };

    /// <summary>The status of a code; every code has one.</summary>
    internal static int StatusOf(SandboxErrorCode code) => code switch
    {
        SandboxErrorCode.NotFound => StatusCodes.Status404NotFound,
        SandboxErrorCode.InvalidRequest => StatusCodes.Status400BadRequest,
        SandboxErrorCode.PermissionDenied => StatusCodes.Status403Forbidden,
        SandboxErrorCode.AlreadyExists or SandboxErrorCode.Conflict or SandboxErrorCode.MemoryInUse => StatusCodes.Status409Conflict,
        SandboxErrorCode.WrongState => StatusCodes.Status400BadRequest,
        SandboxErrorCode.Lost => StatusCodes.Status410Gone,
        SandboxErrorCode.LimitReached => StatusCodes.Status429TooManyRequests,
        SandboxErrorCode.ConnectionRefused or SandboxErrorCode.StartFailed or SandboxErrorCode.Snapshot => StatusCodes.Status502BadGateway,
        SandboxErrorCode.Timeout => StatusCodes.Status504GatewayTimeout,
        SandboxErrorCode.Capacity or SandboxErrorCode.HostPrerequisite or SandboxErrorCode.Isolation => StatusCodes.Status503ServiceUnavailable,
        SandboxErrorCode.NoSpace => StatusCodes.Status507InsufficientStorage,
        SandboxErrorCode.OperationFailed or SandboxErrorCode.GoldenImage or SandboxErrorCode.Image or SandboxErrorCode.ResizeIncomplete =>
            StatusCodes.Status500InternalServerError,
        _ => throw new ArgumentOutOfRangeException(nameof(code), code, "a code without a status"),
    };

    internal static int StatusOf(SandboxException failure) => failure switch
    {
        SandboxStateException { Actual: SandboxState.Stopped or SandboxState.Stopping } => StatusCodes.Status410Gone,
        // The program, its directory or its user is not there, or not to be used: the sandbox is, which 404 would deny.
        SandboxOperationException { FailedStep: not null, Code: SandboxErrorCode.NotFound or SandboxErrorCode.PermissionDenied } => StatusCodes.Status400BadRequest,
        SandboxOperationException { Code: SandboxErrorCode.OperationFailed, Errno: int errno } when IsOfTheRequest(errno) => StatusCodes.Status400BadRequest,
        _ => StatusOf(failure.Code),
    };

    /// <summary>Whether the guest's kernel says with it that something cannot be done as it was asked for, and nobody is to blame but who asked.</summary>
    private static bool IsOfTheRequest(int errno) =>
        errno is 7 /* E2BIG */ or 8 /* ENOEXEC */ or 20 /* ENOTDIR */ or 21 /* EISDIR */ or 22 /* EINVAL */ or 36 /* ENAMETOOLONG */ or 40 /* ELOOP */;

    /// <summary><c>NoSpace</c> is <c>no_space</c>.</summary>
    internal static string CodeOf(SandboxErrorCode code) =>
        string.Concat(code.ToString().Select(static (c, i) => char.IsAsciiLetterUpper(c) ? (i == 0 ? "" : "_") + char.ToLowerInvariant(c) : c.ToString()));
}
