namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of Welcome.</summary>
public sealed record HostWelcome
{
    /// <summary>The generation that this session speaks: at most that of Hello.</summary>
    public required int Generation { get; init; }
}
