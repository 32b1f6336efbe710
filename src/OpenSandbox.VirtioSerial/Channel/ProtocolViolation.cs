namespace OpenSandbox.VirtioSerial;

/// <summary>The rule of docs/protocol.md that the guest broke.</summary>
public enum ProtocolViolation
{
    /// <summary>More bytes before the answer to the preamble than <see cref="GuestChannelOptions.MaxDroppedBytes"/>.</summary>
    NoPreamble,

    /// <summary>A header or trailer that is no frame of this session.</summary>
    MalformedFrame,

    /// <summary>A frame type that only the host may send, or that does not belong on this port.</summary>
    WrongDirection,

    /// <summary>A control frame ahead of Hello, a second Hello, or Pong or Quiesced that nobody asked for.</summary>
    OutOfOrder,

    /// <summary>An older generation than the golden snapshot promises.</summary>
    WrongGeneration,

    /// <summary>A stream id that the host has never opened.</summary>
    UnknownStream,

    /// <summary>More frames for streams that had ended than <see cref="GuestChannelOptions.MaxStrayFrames"/> allows.</summary>
    TooManyStrayFrames,

    /// <summary>More Data outstanding than the credit window.</summary>
    WindowExceeded,

    /// <summary>Credit for more Data than was outstanding.</summary>
    CreditExceeded,

    /// <summary>Data or End after End.</summary>
    DataAfterEnd,

    /// <summary>A second Started on a stream.</summary>
    StartedTwice,

    /// <summary>A Pong whose bytes are not those of the oldest unanswered Ping.</summary>
    WrongPong,

    /// <summary>An Open of the agent with an id that it may not use: not its own, not on this port, not ascending, or continued.</summary>
    InvalidOpen,

    /// <summary>More open streams of the agent than <see cref="ProtocolConstants.MaxAgentStreams"/>.</summary>
    TooManyAgentStreams,

    /// <summary>JSON that is malformed, nested too deeply, or not of the expected shape.</summary>
    InvalidPayload,
}
