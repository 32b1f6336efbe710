namespace OpenSandbox.Vmm;

/// <content>Telling what happens to the sandbox.</content>
public sealed partial class Sandbox
{
    private int _toldDeleted;

    /// <summary>Tells subscribers of the host's events. Neither waits nor, where there are none, allocates.</summary>
    internal void Tell(SandboxEventKind kind, in SandboxEventDetails details = default) =>
        _host.Events.Publish(kind, Id, details with { State = State });

    /// <summary>Tells that it is over for this host.</summary>
    private void TellEnd(SandboxExit exit)
    {
        if (exit.Reason is not (SandboxExitReason.Destroyed or SandboxExitReason.Released or SandboxExitReason.Expired))
        {
            Tell(SandboxEventKind.Crashed, new SandboxEventDetails { Exit = exit });
        }

        if (Telemetry.SandboxMetrics.Ended.Enabled)
        {
            Telemetry.SandboxMetrics.Ended.Add(1, Telemetry.SandboxMetrics.Tag("reason", Telemetry.SandboxMetrics.NameOf(exit.Reason)));
        }

        Tell(SandboxEventKind.Stopped, new SandboxEventDetails { Exit = exit });
    }

    /// <summary>Tells that nothing of it is left; once, and not of one that was let go of before.</summary>
    private void TellDeleted()
    {
        if (_deleting && Interlocked.Exchange(ref _toldDeleted, 1) == 0)
        {
            Tell(SandboxEventKind.Deleted);
        }
    }

    /// <summary>Tells that it is back, and how, when the operation that got it back is over.</summary>
    private void TellBack(SandboxEventKind kind, SandboxWake wake, string? checkpointId = null, bool byUse = false) => TellAtEnd(kind, new SandboxEventDetails
    {
        MemoryRestored = wake.MemoryRestored,
        Reasons = wake.Reasons,
        Duration = wake.Duration,
        CheckpointId = checkpointId,
        ByUse = byUse,
    });
}
