namespace OpenSandbox.VirtioSerial;

/// <summary>Payload of Thawed.</summary>
public sealed record ThawedReply
{
    /// <summary>Whether the guest runs, with the clock and the entropy of the request. If not, <see cref="Reason"/> says what failed.</summary>
    public required bool Ok { get; init; }

    /// <summary>
    /// Whether the watchdog had thawed the guest before Thaw came. What was saved in between may be of a guest that ran, and must be thrown away.
    /// </summary>
    public bool WatchdogFired { get; init; }

    /// <summary>What failed, for people.</summary>
    public string? Reason { get; init; }
}
