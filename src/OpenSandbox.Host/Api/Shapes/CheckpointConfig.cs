namespace OpenSandbox.Host.Api;

/// <summary>What a sandbox of a checkpoint begins with.</summary>
internal sealed record CheckpointConfig
{
    public string? TemplateID { get; init; }

    public int? MemoryMB { get; init; }

    public int? CpuCount { get; init; }
}
