namespace OpenSandbox.Host.Api;

/// <summary><c>POST /api/sandboxes/from-checkpoint/:cid</c>.</summary>
internal sealed record ForkRequest
{
    public int? Timeout { get; init; }

    public Dictionary<string, string>? Envs { get; init; }

    public Dictionary<string, string>? Metadata { get; init; }

    public int? MemoryMB { get; init; }

    public string? SecretStore { get; init; }
}
