namespace OpenSandbox.Vmm;

/// <summary>Something that happened to a sandbox of this host. Immutable.</summary>
public sealed record SandboxEvent
{
    internal SandboxEvent(long sequence, SandboxEventKind kind, string sandboxId, DateTimeOffset at, in SandboxEventDetails details)
    {
        Sequence = sequence;
        Kind = kind;
        SandboxId = sandboxId;
        At = at;
        State = details.State;
        Exit = details.Exit;
        Action = details.Action;
        MemoryRestored = details.MemoryRestored;
        Reasons = details.Reasons ?? [];
        CheckpointId = details.CheckpointId;
        ParentId = details.ParentId;
        Limits = details.Limits;
        Duration = details.Duration;
        ByUse = details.ByUse;
        Lost = details.Lost;
    }

    /// <summary>Counts this host's events from 1, without gaps. Of an <see cref="SandboxEventKind.Overrun"/>: the first one that is missing.</summary>
    public long Sequence { get; }

    /// <summary>What happened.</summary>
    public SandboxEventKind Kind { get; }

    /// <summary>To which sandbox; empty for an <see cref="SandboxEventKind.Overrun"/>.</summary>
    public string SandboxId { get; }

    /// <summary>When, UTC, by the host's clock.</summary>
    public DateTimeOffset At { get; }

    /// <summary>The sandbox's state right after it; <see langword="null"/> for an <see cref="SandboxEventKind.Overrun"/>.</summary>
    public SandboxState? State { get; }

    /// <summary>How the sandbox ended: with Stopped, Crashed, and Expired where it is ended for that.</summary>
    public SandboxExit? Exit { get; }

    /// <summary>With Expired: what is done.</summary>
    public SandboxExpiryAction? Action { get; }

    /// <summary>With Woken and Restored: whether it went on where it was. If not it booted from its disks.</summary>
    public bool? MemoryRestored { get; }

    /// <summary>Why, each as one sentence: with Woken and Restored why the memory could not be used, with Expired and ExpiryFailed the cause.</summary>
    public IReadOnlyList<string> Reasons { get; }

    /// <summary>With Checkpointed, Restored, and Forked of a checkpoint: which one.</summary>
    public string? CheckpointId { get; }

    /// <summary>With Forked: the sandbox that it is a copy of.</summary>
    public string? ParentId { get; }

    /// <summary>With Resized: the limits in force.</summary>
    public SandboxLimits? Limits { get; }

    /// <summary>How long it took, where that is known.</summary>
    public TimeSpan? Duration { get; }

    /// <summary>With Woken: whether it was woken because it was used (<see cref="SandboxExpiry.AutoWake"/>).</summary>
    public bool ByUse { get; }

    /// <summary>With Overrun: how many events are missing.</summary>
    public long Lost { get; }
}
