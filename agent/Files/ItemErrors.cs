using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>What goes wrong with one of several files.</summary>
internal static class ItemErrors
{
    /// <summary>Whether it concerns the file alone; everything else ends the request.</summary>
    internal static bool Concerns(Exception exception) => exception is GuestException { Code: not AgentErrorCodes.Cancelled };

    /// <summary>The message for it.</summary>
    internal static ItemError From(Exception exception)
    {
        AgentError error = AgentErrors.From(exception);
        return new ItemError { Code = error.Code, Errno = error.Errno, Message = error.Message };
    }
}
