namespace OpenSandbox.Host.Api;

/// <summary>A script for sandboxes of a checkpoint.</summary>
internal sealed record PatchRequest
{
    public string? Script { get; init; }

    public string? Description { get; init; }
}
