using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Makes Error payloads that keep the protocol's bounds.</summary>
internal static class AgentErrors
{
    private const int MaxMessage = 1024;

    /// <summary>What an exception becomes on the wire.</summary>
    internal static AgentError From(Exception exception) => exception is GuestException known
        ? Make(known.Code, known.Errno, known.Message) with { Step = known.Step }
        : Make(AgentErrorCodes.Internal, 0, $"{exception.GetType().Name}: {exception.Message}");

    /// <summary>An error with its message cut to the protocol's bound.</summary>
    internal static AgentError Make(string code, int errno, string message) => new()
    {
        Code = code,
        Errno = errno,
        Message = message.Length <= MaxMessage ? message : message[..MaxMessage],
    };
}
