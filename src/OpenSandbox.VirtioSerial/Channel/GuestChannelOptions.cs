namespace OpenSandbox.VirtioSerial;

/// <summary>Options of a <see cref="GuestChannel"/>. The defaults suit a sandbox that was just restored.</summary>
public sealed record GuestChannelOptions
{
    /// <summary>
    /// The session's number: fresh for every connection, best random. Its low 32 bits are neither 0 nor 0xFFFFFFFF
    /// (<see cref="Preamble.IsValidEpoch"/>).
    /// </summary>
    public required ulong Epoch { get; init; }

    /// <summary>
    /// The protocol generation of the agent, from the golden snapshot's manifest; 1 to 65,535, default
    /// <see cref="ProtocolConstants.Generation"/>. The session speaks the older one of both sides.
    /// </summary>
    public int AgentGeneration { get; init; } = ProtocolConstants.Generation;

    /// <summary>
    /// Whether another connection talked to this VM before. Then <see cref="ProtocolConstants.ReconnectPaddingSize"/> zero bytes go ahead of
    /// the preamble, so that a frame that was left half written cannot swallow it. Default: no.
    /// </summary>
    public bool Reconnect { get; init; }

    /// <summary>Bytes per port that are dropped while looking for the agent's preamble; at least 0, default 16 MiB.</summary>
    public long MaxDroppedBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>Streams that may be open at a time on each port; 1 to 65,536, default 4,096. Cancelled ones count until the agent closes them.</summary>
    public int MaxStreams { get; init; } = 4_096;

    /// <summary>
    /// Frames per port for streams that have ended, beyond one for each stream that ended since, before that is a violation; at least 0,
    /// default 1,024.
    /// </summary>
    public int MaxStrayFrames { get; init; } = 1_024;

    /// <summary>The clock of <see cref="GuestChannel.PingAsync"/>. Default: the system's.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The generation that the session speaks.</summary>
    internal int AgreedGeneration => Math.Min(AgentGeneration, ProtocolConstants.Generation);

    internal static void Validate(GuestChannelOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (!Preamble.IsValidEpoch(options.Epoch))
        {
            throw new ArgumentException("The low 32 bits of the epoch must be neither 0 nor 0xFFFFFFFF.", nameof(options));
        }

        Require(options, options.AgentGeneration is >= 1 and <= ushort.MaxValue, nameof(AgentGeneration), options.AgentGeneration);
        Require(options, options.MaxDroppedBytes >= 0, nameof(MaxDroppedBytes), options.MaxDroppedBytes);
        Require(options, options.MaxStreams is >= 1 and <= 65_536, nameof(MaxStreams), options.MaxStreams);
        Require(options, options.MaxStrayFrames >= 0, nameof(MaxStrayFrames), options.MaxStrayFrames);
        if (options.TimeProvider is null)
        {
            throw new ArgumentException($"{nameof(TimeProvider)} is null.", nameof(options));
        }
    }

    private static void Require(GuestChannelOptions options, bool fulfilled, string option, long value)
    {
        if (!fulfilled)
        {
            throw new ArgumentOutOfRangeException(nameof(options), value, $"{option} is out of range.");
        }
    }
}
