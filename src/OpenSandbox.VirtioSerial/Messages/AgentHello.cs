namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of Hello: who answers.</summary>
public sealed record AgentHello
{
    /// <summary>The newest protocol generation that the agent speaks.</summary>
    public required int Generation { get; init; }

    /// <summary>Version of the agent.</summary>
    public string? AgentVersion { get; init; }

    /// <summary>Kernel release of the guest.</summary>
    public string? KernelRelease { get; init; }

    /// <summary>Whether a resume has been done since the golden snapshot.</summary>
    public bool Resumed { get; init; }

    /// <summary>
    /// Whether the guest is frozen since a quiesce for a snapshot (<see cref="QuiesceRequest.Snapshot"/>): user processes and file systems stand
    /// still until this session's resume.
    /// </summary>
    public bool Quiesced { get; init; }
}
