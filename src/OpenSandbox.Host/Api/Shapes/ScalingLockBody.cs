namespace OpenSandbox.Host.Api;

/// <summary>Whether a sandbox keeps its size.</summary>
internal sealed record ScalingLockBody
{
    public string? SandboxID { get; init; }

    public bool? Locked { get; init; }
}
