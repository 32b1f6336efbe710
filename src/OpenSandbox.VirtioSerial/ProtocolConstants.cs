namespace OpenSandbox.VirtioSerial;

/// <summary>The constants of the protocol (docs/protocol.md). Changing one is a new generation.</summary>
public static class ProtocolConstants
{
    /// <summary>The protocol generation that this build speaks.</summary>
    public const ushort Generation = 1;

    /// <summary>Name of the virtio-serial port for ping, resume and quiesce.</summary>
    public const string ControlPortName = "org.opensandbox.control";

    /// <summary>Name of the virtio-serial port for commands and files.</summary>
    public const string BulkPortName = "org.opensandbox.bulk";

    /// <summary>Name of the virtio-serial port for connections from and to the guest.</summary>
    public const string NetworkPortName = "org.opensandbox.network";

    /// <summary>Size of the preamble that opens a session, bytes.</summary>
    public const int PreambleSize = 32;

    /// <summary>Zero bytes that a reconnecting host sends ahead of its preamble: more than any frame has.</summary>
    public const int ReconnectPaddingSize = 65_536;

    /// <summary>Size of a frame header, bytes.</summary>
    public const int HeaderSize = 16;

    /// <summary>Size of a frame trailer, bytes.</summary>
    public const int TrailerSize = 4;

    /// <summary>Largest whole frame, bytes: the guest's virtio_console driver passes at most 32 KiB per write.</summary>
    public const int MaxFrameSize = 32_768;

    /// <summary>Largest payload, bytes.</summary>
    public const int MaxPayloadSize = MaxFrameSize - HeaderSize - TrailerSize;

    /// <summary>Data bytes that may be outstanding per stream and direction.</summary>
    public const int CreditWindow = 262_144;

    /// <summary>Flag of an Open frame: the request goes on in the next Open frame of the same stream.</summary>
    public const byte ContinuedFlag = 1;

    /// <summary>Largest request over all its Open frames, bytes.</summary>
    public const int MaxRequestSize = 1_048_576;

    /// <summary>Largest payload of Ping and Pong, bytes.</summary>
    public const int MaxPingSize = 64;

    /// <summary>First stream id that belongs to the agent.</summary>
    public const uint FirstAgentStreamId = 0x8000_0000;

    /// <summary>Streams that the agent may have open at a time, on the network port.</summary>
    public const int MaxAgentStreams = 1_024;

    /// <summary>The 16 bytes with which a preamble begins.</summary>
    public static ReadOnlySpan<byte> Magic =>
        [0x8F, (byte)'o', (byte)'s', (byte)'b', (byte)'x', 0x0D, 0x0A, 0x1A, 0x0A, 0xC3, 0x28, 0xFE, 0xED, 0x5A, 0xA5, 0x91];
}
