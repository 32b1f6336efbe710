namespace OpenSandbox.Cli.Control;

/// <summary>What a frame between a command line and a keeper is. On the wire: never renumbered, only added to.</summary>
internal enum ControlFrameKind : byte
{
    /// <summary>Never sent: the connection has ended.</summary>
    None = 0,

    /// <summary>Asks for an operation: <see cref="ControlRequest"/> as JSON. First frame of the asking side.</summary>
    Request = 1,

    /// <summary>Last frame of an operation that went well: JSON, what it is depends on the operation.</summary>
    Result = 2,

    /// <summary>Last frame of an operation that did not: <see cref="ControlFailure"/> as JSON.</summary>
    Failure = 3,

    /// <summary>The operation has begun: JSON, what it is depends on the operation.</summary>
    Started = 4,

    /// <summary>One of several answers: JSON.</summary>
    Item = 5,

    /// <summary>Bytes: standard input or output, a file's content, a connection's.</summary>
    Data = 6,

    /// <summary>Bytes of standard error.</summary>
    ErrorData = 7,

    /// <summary>No more <see cref="Data"/> from this side.</summary>
    DataEnd = 8,

    /// <summary>So many bytes of <see cref="Data"/> have been used up; so many more may be sent. Four bytes, little-endian.</summary>
    Credit = 9,

    /// <summary>A signal for the command. Four bytes, little-endian.</summary>
    Signal = 10,

    /// <summary>The terminal has another size now: columns and rows, two bytes each, little-endian.</summary>
    Resize = 11,
}
