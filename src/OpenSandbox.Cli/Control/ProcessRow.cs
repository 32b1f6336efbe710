namespace OpenSandbox.Cli.Control;

/// <summary>A process, as <c>ps --json</c> prints it. What it consists of comes from the guest.</summary>
internal sealed record ProcessRow
{
    /// <summary>Its id, for <c>logs</c>.</summary>
    public required string Id { get; init; }

    /// <summary>Process id in the guest.</summary>
    public required int Pid { get; init; }

    /// <summary>Its user.</summary>
    public required string User { get; init; }

    /// <summary>Program and arguments.</summary>
    public required string[] Command { get; init; }

    /// <summary>When it was started.</summary>
    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>Whether it runs.</summary>
    public required bool Running { get; init; }

    /// <summary>How it ended, as shells count.</summary>
    public int? ExitCode { get; init; }

    /// <summary>Whether it runs in the background.</summary>
    public bool Detached { get; init; }

    /// <summary>Whether it has a terminal.</summary>
    public bool Terminal { get; init; }

    /// <summary>CPU time, milliseconds.</summary>
    public double? CpuMilliseconds { get; init; }

    /// <summary>Memory, bytes.</summary>
    public long? MemoryBytes { get; init; }

    /// <summary>Number of the oldest byte of output that is kept.</summary>
    public long OutputStart { get; init; }

    /// <summary>Bytes of output so far.</summary>
    public long OutputEnd { get; init; }
}
