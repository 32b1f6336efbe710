namespace OpenSandbox.VirtioSerial;

/// <summary>Result of <see cref="Operations.Exec"/>: sent after all output.</summary>
public sealed record ExecResultMessage
{
    /// <summary>Exit code, when the command ended by itself.</summary>
    public int? ExitCode { get; init; }

    /// <summary>Number of the signal that ended the command.</summary>
    public int? Signal { get; init; }

    /// <summary>The command's time was up and its cgroup was killed.</summary>
    public bool TimedOut { get; init; }

    /// <summary>The kernel killed processes of this command for lack of memory.</summary>
    public bool OutOfMemory { get; init; }

    /// <summary><c>pids.max</c> refused forks in the sandbox while the command ran.</summary>
    public bool ProcessLimitHit { get; init; }

    /// <summary>Processes of the command's cgroup go on without it. Only known of managed processes.</summary>
    public bool LeftProcesses { get; init; }

    /// <summary>Processes that the command left behind still held its output when the drain's bound was reached.</summary>
    public bool OutputCut { get; init; }

    /// <summary>Microseconds from just before the fork to the moment when the agent had the exit status.</summary>
    public long WallMicroseconds { get; init; }

    /// <summary>CPU time of the command's cgroup, microseconds.</summary>
    public long? CpuMicroseconds { get; init; }
}
