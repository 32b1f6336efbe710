using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Control;

/// <summary>How a command ended.</summary>
internal sealed record ControlExit
{
    /// <summary>Exit code, or 128 plus the signal's number.</summary>
    public required int ExitCode { get; init; }

    /// <summary>The signal that ended it.</summary>
    public int? Signal { get; init; }

    /// <summary>Its time was up.</summary>
    public bool TimedOut { get; init; }

    /// <summary>The kernel killed it for lack of memory.</summary>
    public bool OutOfMemory { get; init; }

    /// <summary>How long it took in the guest, milliseconds.</summary>
    public double WallMilliseconds { get; init; }

    /// <summary>CPU time, milliseconds, where the guest knows it.</summary>
    public double? CpuMilliseconds { get; init; }

    internal static ControlExit From(SandboxProcessExit exit) => new()
    {
        ExitCode = exit.ExitCode,
        Signal = exit.Signal,
        TimedOut = exit.TimedOut,
        OutOfMemory = exit.OutOfMemory,
        WallMilliseconds = exit.WallTime.TotalMilliseconds,
        CpuMilliseconds = exit.CpuTime?.TotalMilliseconds,
    };

    internal SandboxProcessExit ToExit() => new(
        ExitCode,
        Signal,
        TimedOut,
        OutOfMemory,
        OutputCut: false,
        TimeSpan.FromMilliseconds(WallMilliseconds),
        CpuMilliseconds is double cpu ? TimeSpan.FromMilliseconds(cpu) : null);
}
