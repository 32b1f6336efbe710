namespace OpenSandbox.VirtioSerial;

/// <summary>One request failed; the channel and its other streams go on.</summary>
public sealed class GuestOperationException : Exception
{
    private const int MaxMessageLength = 1_024;
    private const int MaxCodeLength = 64;

    internal GuestOperationException(string operation, string code, int errno, string message, string? step = null)
        : base($"{operation}: {message}")
    {
        Step = step;
        Operation = operation;
        Code = code;
        Errno = errno;
    }

    /// <summary>The operation that failed, one of <see cref="Operations"/>.</summary>
    public string Operation { get; }

    /// <summary>One of <see cref="AgentErrorCodes"/>, or a newer one, which counts as <see cref="AgentErrorCodes.Internal"/>.</summary>
    public string Code { get; }

    /// <summary>The guest kernel's errno; 0 when none was involved.</summary>
    public int Errno { get; }

    /// <summary>Which step of a start failed, one of <see cref="StartSteps"/>; <see langword="null"/> where nothing was to be started.</summary>
    public string? Step { get; }

    /// <summary>Makes the guest's words safe for logs and terminals: bounded, and without control characters.</summary>
    internal static GuestOperationException FromAgent(string operation, AgentError error) =>
        new(operation, Clean(error.Code, MaxCodeLength), error.Errno, Clean(error.Message, MaxMessageLength),
            error.Step is null ? null : Clean(error.Step, MaxCodeLength));

    private static string Clean(string text, int maxLength) => string.Create(Math.Min(text.Length, maxLength), text, static (target, source) =>
    {
        for (int i = 0; i < target.Length; i++)
        {
            target[i] = char.IsControl(source[i]) ? ' ' : source[i];
        }
    });
}
