namespace OpenSandbox.Vmm;

/// <summary>How a command ended.</summary>
/// <param name="ExitCode">Exit code, or 128 plus the signal's number, as shells count.</param>
/// <param name="Signal">Number of the signal that ended it.</param>
/// <param name="TimedOut">Its time was up, and it was killed with everything it had started.</param>
/// <param name="OutOfMemory">The kernel killed it or a child of it for lack of memory.</param>
/// <param name="OutputCut">Processes it left behind still held its output; what they write is not waited for.</param>
/// <param name="WallTime">From just before its start to its end, measured in the guest.</param>
/// <param name="CpuTime">CPU time of it and its descendants, where the guest knows it.</param>
public sealed record SandboxProcessExit(
    int ExitCode, int? Signal, bool TimedOut, bool OutOfMemory, bool OutputCut, TimeSpan WallTime, TimeSpan? CpuTime)
{
    /// <summary>The sandbox's limit of processes refused a fork while it ran: to it or to another command.</summary>
    public bool ProcessLimitHit { get; init; }

    /// <summary>Processes that it started go on without it. Known of started processes, not of commands of <c>ExecAsync</c>.</summary>
    public bool LeftProcesses { get; init; }

    /// <inheritdoc/>
    public override string ToString() =>
        (TimedOut ? "its time being up" : Signal is int signal ? $"signal {signal}" : $"exit code {ExitCode}")
        + (OutOfMemory ? " (out of memory)" : "");

    internal static SandboxProcessExit From(VirtioSerial.ExecResultMessage message) => new(
        message.ExitCode ?? 128 + message.Signal ?? 255,
        message.Signal,
        message.TimedOut,
        message.OutOfMemory,
        message.OutputCut,
        ToTime(message.WallMicroseconds),
        message.CpuMicroseconds is long cpu ? ToTime(cpu) : null)
    {
        ProcessLimitHit = message.ProcessLimitHit,
        LeftProcesses = message.LeftProcesses,
    };

    /// <summary>A duration as the guest tells it: whatever it says, it becomes one.</summary>
    internal static TimeSpan ToTime(long microseconds) =>
        TimeSpan.FromTicks(Math.Clamp(microseconds, 0, TimeSpan.MaxValue.Ticks / TimeSpan.TicksPerMicrosecond) * TimeSpan.TicksPerMicrosecond);
}
