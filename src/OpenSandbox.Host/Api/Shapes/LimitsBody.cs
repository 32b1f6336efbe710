namespace OpenSandbox.Host.Api;

/// <summary>Limits: asked for, or in force. Earlier clients use the longer names.</summary>
internal sealed record LimitsBody
{
    public string? SandboxID { get; init; }

    public int? MemoryMB { get; init; }

    public int? MaxMemoryMB { get; init; }

    public int? CpuPercent { get; init; }

    public int? MaxPids { get; init; }

    public bool? AutoscaleDisabled { get; init; }
}
