namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of an Error frame.</summary>
public sealed record AgentError
{
    /// <summary>One of <see cref="AgentErrorCodes"/>.</summary>
    public required string Code { get; init; }

    /// <summary>The guest kernel's errno; 0 when none was involved.</summary>
    public int Errno { get; init; }

    /// <summary>Which step of a start failed, one of <see cref="StartSteps"/>; absent where nothing was to be started.</summary>
    public string? Step { get; init; }

    /// <summary>What failed and why, for people; at most 1,024 characters.</summary>
    public required string Message { get; init; }
}
