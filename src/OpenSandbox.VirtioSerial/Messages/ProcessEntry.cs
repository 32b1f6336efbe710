namespace OpenSandbox.VirtioSerial;

/// <summary>One process as <see cref="Operations.Processes"/> lists it.</summary>
public sealed record ProcessEntry
{
    /// <summary>The process: 8 hexadecimal digits, unique in the sandbox.</summary>
    public required string Id { get; init; }

    /// <summary>Process id in the guest.</summary>
    public int Pid { get; init; }

    /// <summary>Program and arguments; cut where they are long, and then the last one ends with an ellipsis.</summary>
    public required string[] Command { get; init; }

    /// <summary>Name of its user, or the number where the image has no name for it.</summary>
    public required string User { get; init; }

    /// <summary>When it was started, nanoseconds since the Unix epoch.</summary>
    public long StartedNanoseconds { get; init; }

    /// <summary>How it ended; absent while it runs.</summary>
    public ExecResultMessage? Exit { get; init; }

    /// <summary>Started by <see cref="Operations.Start"/>: it can be attached to. Otherwise by <see cref="Operations.Exec"/>.</summary>
    public bool Managed { get; init; }

    /// <summary>Goes on without the stream that started it.</summary>
    public bool Detached { get; init; }

    /// <summary>Runs on a terminal.</summary>
    public bool Terminal { get; init; }

    /// <summary>CPU time of its cgroup, microseconds; absent once it has ended, then see <see cref="Exit"/>.</summary>
    public long? CpuMicroseconds { get; init; }

    /// <summary>Memory of its cgroup, bytes; absent once it has ended.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>Sequence number of the oldest byte of output that is kept.</summary>
    public long OutputStart { get; init; }

    /// <summary>Bytes of output that it has made.</summary>
    public long OutputEnd { get; init; }
}
