namespace OpenSandbox.Host.Records;

/// <summary>What the server knows of a checkpoint beside what the library does. Immutable.</summary>
internal sealed record CheckpointEntry
{
    internal const int CurrentFormat = 1;

    public int Format { get; init; } = CurrentFormat;

    public string? TemplateId { get; init; }

    public int? MemoryMib { get; init; }

    public int? CpuCount { get; init; }

    /// <summary>As the sandbox's when the checkpoint was made.</summary>
    public Dictionary<string, string> EnvironmentVariables { get; init; } = [];

    public string? WorkingDirectory { get; init; }

    public Dictionary<string, string> Metadata { get; init; } = [];

    /// <summary>As the sandbox's when the checkpoint was made; its copies keep it.</summary>
    public string? PreviewTokenDigest { get; init; }

    public bool IsPublic { get; init; }

    /// <summary>Number of the newest patch that there ever was.</summary>
    public int LastSequence { get; init; }

    /// <summary>In the order of their numbers.</summary>
    public PatchEntry[] Patches { get; init; } = [];
}
