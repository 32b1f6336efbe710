namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of Quiesced.</summary>
public sealed record QuiesceReply
{
    /// <summary>Whether the agent is idle now. If not, nothing may be cut.</summary>
    public required bool Ok { get; init; }

    /// <summary>Streams that were open, the reason when <see cref="Ok"/> is false.</summary>
    public int OpenStreams { get; init; }

    /// <summary>Another reason why not, for people. Everything done so far has been undone then.</summary>
    public string? Reason { get; init; }
}
