namespace OpenSandbox.VirtioSerial;

/// <summary>The rule that received bytes break.</summary>
public enum FrameError
{
    /// <summary>None: the frame is well formed.</summary>
    None,

    /// <summary>Fewer bytes than a header.</summary>
    Truncated,

    /// <summary>No such frame type in this generation.</summary>
    UnknownType,

    /// <summary>The payload is longer than <see cref="ProtocolConstants.MaxPayloadSize"/>.</summary>
    Oversize,

    /// <summary>The session tag is not that of this session.</summary>
    WrongSession,

    /// <summary>Reserved bits are set, or the flags name no channel.</summary>
    ReservedBits,

    /// <summary>A session frame on a stream, or a stream frame on stream 0.</summary>
    WrongStream,

    /// <summary>The payload's length does not fit the type.</summary>
    WrongLength,

    /// <summary>The trailer is not the complement of the session tag: the frame was cut.</summary>
    BadTrailer,
}
