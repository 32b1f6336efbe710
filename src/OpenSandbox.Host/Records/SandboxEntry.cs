namespace OpenSandbox.Host.Records;

/// <summary>What the server knows of a sandbox beside what the library does; survives the server. Immutable.</summary>
internal sealed record SandboxEntry
{
    internal const int CurrentFormat = 1;

    public int Format { get; init; } = CurrentFormat;

    public required string Id { get; init; }

    public string TemplateId { get; init; } = "base";

    public string? Alias { get; init; }

    public Dictionary<string, string> Metadata { get; init; } = [];

    public Dictionary<string, string> Tags { get; init; } = [];

    public DateTimeOffset? TagsUpdatedAt { get; init; }

    public required DateTimeOffset StartedAt { get; init; }

    /// <summary>Idle timeout, seconds; 0: never.</summary>
    public int TimeoutSeconds { get; init; }

    public int CpuCount { get; init; }

    public int MemoryMib { get; init; }

    /// <summary>Whether its size stays as it is until it is unlocked.</summary>
    public bool ScalingLocked { get; init; }

    /// <summary>How its size follows its load; nothing: it was never said.</summary>
    public AutoscaleSettings? Autoscale { get; init; }

    /// <summary>Ports that clients have asked URLs for.</summary>
    public PreviewEntry[] Previews { get; init; } = [];

    /// <summary>SHA-256, hexadecimal, of the token that its previews ask for; nothing: none.</summary>
    public string? PreviewTokenDigest { get; init; }

    /// <summary>The checkpoint that it was made of, or has gone back to; nothing: none.</summary>
    public string? FromCheckpoint { get; init; }

    /// <summary>Number of the newest patch of that checkpoint that it has run.</summary>
    public int PatchesApplied { get; init; }

    /// <summary>Why the patch after that failed.</summary>
    public string? PatchError { get; init; }

    /// <summary>Where commands run that do not say where; nothing: the library's default.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>When it was deleted or lost; the entry is kept a while, for clients that ask after it.</summary>
    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>Why it ended, for the error that clients get.</summary>
    public string? EndReason { get; init; }
}
