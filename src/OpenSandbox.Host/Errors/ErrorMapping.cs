using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Errors;

/// <summary>Which HTTP status each error of the library is.</summary>
internal static class ErrorMapping
{
    /// <summary>Translates what the library reports.</summary>
    internal static ApiException From(SandboxException failure) => With(failure, TextOf(failure));

    /// <summary>The same; what is not the client's doing stands in the log, with everything that clients are not told.</summary>
    internal static ApiException From(SandboxException failure, ILogger logger, string requestId)
    {
        if (!IsOurs(failure))
        {
            return From(failure);
        }

        HostLog.SandboxFailed(logger, requestId, CodeOf(failure.Code), failure);
        string text = TextOf(failure);
        return With(failure, text == failure.Message ? text : $"{text}; the server's log has it as request {requestId}");
    }

    /// <summary>What clients are told: neither what QEMU printed nor where files of this machine are.</summary>
    internal static string TextOf(SandboxException failure) => failure switch
    {
        _ when !IsOurs(failure) => failure.Message,
        SandboxLostException { Exit.Reason: SandboxExitReason.Expired } => failure.Message,
        SandboxLostException lost => $"sandbox {lost.SandboxId} is lost: {lost.Exit.Description}",
        SandboxStartException start => $"the sandbox could not be started: {start.Phase} failed",
        SandboxTimeoutException or SandboxCapacityException or SandboxResizeException => failure.Message, // made of names and numbers
        SandboxOperationException { InnerException: null or GuestOperationException } => failure.Message, // what the guest says
        _ => $"{(failure.SandboxId is { Length: > 0 } id ? $"sandbox {id}" : "the request")} failed: {Summarize(failure.Code)}",
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

    private static bool IsOurs(SandboxException failure) => failure is SandboxLostException || StatusOf(failure) >= StatusCodes.Status500InternalServerError;

    private static string Summarize(SandboxErrorCode code) => code switch
    {
        SandboxErrorCode.NoSpace => "the server's disk is full",
        SandboxErrorCode.Snapshot => "what is saved of it is missing or damaged, or cannot be changed",
        SandboxErrorCode.GoldenImage => "the golden snapshot cannot be used",
        SandboxErrorCode.Image => "the image cannot be used",
        SandboxErrorCode.HostPrerequisite => "the server's machine lacks something",
        SandboxErrorCode.Isolation => "sandboxes cannot be confined on the server's machine as required",
        _ => "the server's machine refused",
    };

    private static ApiException With(SandboxException failure, string text) => new(StatusOf(failure), text, failure)
    {
        Code = CodeOf(failure.Code),
        Retryable = failure.IsTransient,
        RetryAfter = failure.IsTransient ? 1 : null,
    };

    /// <summary>Whether the guest's kernel says with it that something cannot be done as it was asked for, and nobody is to blame but who asked.</summary>
    private static bool IsOfTheRequest(int errno) =>
        errno is 7 /* E2BIG */ or 8 /* ENOEXEC */ or 20 /* ENOTDIR */ or 21 /* EISDIR */ or 22 /* EINVAL */ or 36 /* ENAMETOOLONG */ or 40 /* ELOOP */;

    /// <summary><c>NoSpace</c> is <c>no_space</c>.</summary>
    internal static string CodeOf(SandboxErrorCode code) =>
        string.Concat(code.ToString().Select(static (c, i) => char.IsAsciiLetterUpper(c) ? (i == 0 ? "" : "_") + char.ToLowerInvariant(c) : c.ToString()));
}
