namespace OpenSandbox.Vmm;

/// <summary>What an event says beside its kind; nothing is allocated for it while nobody listens.</summary>
internal readonly record struct SandboxEventDetails
{
    internal SandboxState? State { get; init; }

    internal SandboxExit? Exit { get; init; }

    internal SandboxExpiryAction? Action { get; init; }

    internal bool? MemoryRestored { get; init; }

    internal IReadOnlyList<string>? Reasons { get; init; }

    internal string? CheckpointId { get; init; }

    internal string? ParentId { get; init; }

    internal SandboxLimits? Limits { get; init; }

    internal TimeSpan? Duration { get; init; }

    internal bool ByUse { get; init; }

    internal long Lost { get; init; }
}
