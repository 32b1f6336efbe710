namespace OpenSandbox.VirtioSerial;

/// <summary>What went wrong with one file of a request for several.</summary>
public sealed record ItemError
{
    /// <summary>One of <see cref="AgentErrorCodes"/>.</summary>
    public required string Code { get; init; }

    /// <summary>The guest kernel's errno; 0 when none was involved.</summary>
    public int Errno { get; init; }

    /// <summary>What failed and why, for people; at most 1,024 characters.</summary>
    public required string Message { get; init; }
}
