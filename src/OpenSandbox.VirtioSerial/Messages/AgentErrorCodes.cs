namespace OpenSandbox.VirtioSerial;

/// <summary>Values of <see cref="AgentError.Code"/>. Only added to; an unknown one counts as <see cref="Internal"/>.</summary>
public static class AgentErrorCodes
{
    /// <summary>The request itself is wrong: missing or impossible fields, unknown operation.</summary>
    public const string InvalidRequest = "invalid_request";

    /// <summary>The sandbox has not been resumed, or its resume failed.</summary>
    public const string NotResumed = "not_resumed";

    /// <summary>A system call failed; errno says how.</summary>
    public const string System = "system";

    /// <summary>The program could not be started; errno says why.</summary>
    public const string SpawnFailed = "spawn_failed";

    /// <summary>No such user in the guest.</summary>
    public const string UnknownUser = "unknown_user";

    /// <summary>A limit of the agent itself, such as the number of open streams.</summary>
    public const string LimitReached = "limit_reached";

    /// <summary>The host's policy forbids it.</summary>
    public const string Refused = "refused";

    /// <summary>The host cancelled the request.</summary>
    public const string Cancelled = "cancelled";

    /// <summary>The agent has a defect; the message names it.</summary>
    public const string Internal = "internal";
}
