using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>A request that failed in a way the host should hear about; becomes an Error frame.</summary>
internal sealed class GuestException : Exception
{
    private GuestException(string code, int errno, string message, string? step = null)
        : base(message)
    {
        Code = code;
        Errno = errno;
        Step = step;
    }

    /// <summary>One of <see cref="StartSteps"/>, where a start failed.</summary>
    internal string? Step { get; }

    /// <summary>One of <see cref="AgentErrorCodes"/>.</summary>
    internal string Code { get; }

    /// <summary>The kernel's errno, or 0.</summary>
    internal int Errno { get; }

    /// <summary>A failed system call.</summary>
    internal static GuestException System(string what, int errno) =>
        new(AgentErrorCodes.System, errno, $"{what}: {Interop.Errno.Describe(errno)}");

    /// <summary>The last failed system call of this thread.</summary>
    internal static GuestException LastError(string what) => System(what, Marshal.GetLastPInvokeError());

    /// <summary>A failure under any other code.</summary>
    internal static GuestException Coded(string code, string message, int errno = 0) => new(code, errno, message);

    /// <summary>A start that failed at some step.</summary>
    internal static GuestException AtStep(string step, string code, string message, int errno = 0) => new(code, errno, message, step);

    /// <summary>Ends a request whose fields make no sense.</summary>
    [DoesNotReturn]
    internal static void ThrowInvalid(string message) => throw new GuestException(AgentErrorCodes.InvalidRequest, 0, message);

    /// <summary>Throws for the last failed system call of this thread if <paramref name="result"/> is negative.</summary>
    internal static int Check(int result, string what) => result < 0 ? throw LastError(what) : result;
}
