namespace OpenSandbox.VirtioSerial;

/// <summary>Frame types of the protocol, generation 1 (docs/protocol.md). Values are never renumbered or reused.</summary>
public enum FrameType : byte
{
    /// <summary>Agent to host, stream 0: first frame of a session (<see cref="AgentHello"/>).</summary>
    Hello = 1,

    /// <summary>Host to agent, stream 0: the agreed generation (<see cref="HostWelcome"/>).</summary>
    Welcome = 2,

    /// <summary>Host to agent, stream 0: 0 to 64 bytes that come back in a <see cref="Pong"/>.</summary>
    Ping = 3,

    /// <summary>Agent to host, stream 0: the bytes of the <see cref="Ping"/>.</summary>
    Pong = 4,

    /// <summary>Host to agent: opens the stream with a request (<see cref="OpenRequest"/>).</summary>
    Open = 5,

    /// <summary>Agent to host: the request is under way (<see cref="StartedReply"/>).</summary>
    Started = 6,

    /// <summary>Both ways: at least one raw byte; the flags name the <see cref="DataChannel"/>. Costs credit.</summary>
    Data = 7,

    /// <summary>Both ways: a u32 with the number of Data bytes that the sender of this frame has consumed.</summary>
    Credit = 8,

    /// <summary>Both ways: no more Data from this side.</summary>
    End = 9,

    /// <summary>Agent to host: the request succeeded; closes the stream.</summary>
    Result = 10,

    /// <summary>Agent to host: the request failed (<see cref="AgentError"/>); closes the stream.</summary>
    Error = 11,

    /// <summary>Host to agent: stop, clean up, close with Result or Error.</summary>
    Cancel = 12,

    /// <summary>Host to agent: a signal for the command of this stream (<see cref="SignalRequest"/>).</summary>
    Signal = 13,

    /// <summary>Host to agent, stream 0: become idle for a snapshot (<see cref="QuiesceRequest"/>).</summary>
    Quiesce = 14,

    /// <summary>Agent to host, stream 0: the answer to <see cref="Quiesce"/> (<see cref="QuiesceReply"/>).</summary>
    Quiesced = 15,

    /// <summary>Host to agent, stream 0: go on after <see cref="Quiesced"/> for a snapshot (<see cref="ThawRequest"/>).</summary>
    Thaw = 16,

    /// <summary>Agent to host, stream 0: the answer to <see cref="Thaw"/> (<see cref="ThawedReply"/>).</summary>
    Thawed = 17,
}
