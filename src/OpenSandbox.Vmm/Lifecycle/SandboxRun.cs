using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Golden;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Lifecycle;

/// <summary>
/// One life of the machine behind a sandbox: from a start, whether from the golden snapshot or from a saved state, to its end. A sandbox
/// that is hibernated and woken has several, one after the other.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class SandboxRun
{
    private readonly TaskCompletionSource<SandboxExit> _givenUp = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<SandboxExit?> _endRequested = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Takes over machine and disks.</summary>
    internal SandboxRun(VirtualMachine machine, GoldenReference golden, SandboxDisks disks, ResumeResult resumed)
    {
        Machine = machine;
        Golden = golden;
        Disks = disks;
        Resumed = resumed;
    }

    internal VirtualMachine Machine { get; }

    internal GuestChannel Channel => Machine.Channel;

    /// <summary>The golden snapshot that its memory is a copy of.</summary>
    internal GoldenReference Golden { get; }

    internal SandboxDisks Disks { get; }

    /// <summary>What confines it.</summary>
    internal required SandboxIsolation Isolation { get; init; }

    /// <summary>Whether it went on from saved memory, and not from the golden snapshot.</summary>
    internal bool FromMemory { get; init; }

    /// <summary>Whether a pool had the machine ready.</summary>
    internal bool FromPool { get; init; }

    /// <summary>What the agent said when it was ready.</summary>
    internal ResumeResult Resumed { get; }

    /// <summary>Changes its limits; set before anybody sees the run.</summary>
    internal SandboxResizer Resizer { get; set; } = null!;

    /// <summary>Who stops and continues the machine holds this meanwhile: nobody else may let it run.</summary>
    internal SemaphoreSlim Monitor { get; } = new(1, 1);

    /// <summary>Cancelled when the run ends.</summary>
    internal CancellationTokenSource Ending { get; } = new();

    /// <summary>
    /// Completes when somebody has asked for its end: with the sandbox's exit if the sandbox ends with it, or with nothing if only the
    /// machine does, because its state has been saved or has been replaced.
    /// </summary>
    internal Task<SandboxExit?> EndRequested => _endRequested.Task;

    /// <summary>Completes when it has been found that the machine is of no use any more, with why.</summary>
    internal Task<SandboxExit> GivenUp => _givenUp.Task;

    /// <summary>Completes when the machine and everything that served it is gone. Never fails. Set before anybody sees the run.</summary>
    internal Task Ended { get; set; } = Task.CompletedTask;

    /// <summary>Whether its end, if it is asked for, is only that this host lets go of it: the machine runs on.</summary>
    internal bool Release { get; set; }

    /// <summary>The machine is of no use any more, and is ended as if it had ended by itself.</summary>
    internal void GiveUp(SandboxExit why) => _givenUp.TrySetResult(why);

    /// <summary>Asks for the end; the first to ask says why.</summary>
    internal void RequestEnd(SandboxExit? exit) => _endRequested.TrySetResult(exit);
}
