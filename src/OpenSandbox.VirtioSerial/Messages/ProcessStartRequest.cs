namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Start"/>.</summary>
public sealed record ProcessStartRequest
{
    /// <summary>What to run, as whom and where. Its <see cref="ExecRequest.StandardInput"/> has no meaning for a terminal.</summary>
    public required ExecRequest Command { get; init; }

    /// <summary>Resource limits of the process.</summary>
    public ProcessLimitsRequest? Limits { get; init; }

    /// <summary>Run it on a terminal of its own: one output, which counts as standard output.</summary>
    public TerminalRequest? Terminal { get; init; }

    /// <summary>The process goes on when this stream or the session ends; otherwise it is killed then, with its cgroup.</summary>
    public bool Detached { get; init; }

    /// <summary>Bytes of output to keep, 4,096 to 16,777,216; absent: 1,048,576.</summary>
    public int? RingBytes { get; init; }

    /// <summary>This stream's output never has a gap: the process waits instead when the ring is full.</summary>
    public bool Lossless { get; init; }

    /// <summary>
    /// Gives the process descriptor 3, a pipe whose bytes come as <see cref="DataChannel.Report"/>, each after everything that had been
    /// written to the outputs before it. Not with a terminal.
    /// </summary>
    public bool Report { get; init; }
}
