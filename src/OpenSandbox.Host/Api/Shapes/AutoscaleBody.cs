namespace OpenSandbox.Host.Api;

/// <summary>How the size of a sandbox follows its load: asked for, or in force.</summary>
internal sealed record AutoscaleBody
{
    public string? SandboxID { get; init; }

    public bool? Enabled { get; init; }

    public int? MinMemoryMB { get; init; }

    public int? MaxMemoryMB { get; init; }
}
