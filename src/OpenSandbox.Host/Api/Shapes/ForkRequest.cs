using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.Api;

/// <summary><c>POST /api/sandboxes/from-checkpoint/:cid</c>.</summary>
internal sealed record ForkRequest : IChecked
{
    public int? Timeout { get; init; }

    public Dictionary<string, string>? Envs { get; init; }

    public Dictionary<string, string>? Metadata { get; init; }

    public int? MemoryMB { get; init; }

    public string? SecretStore { get; init; }

    /// <inheritdoc/>
    public void Check()
    {
        Checks.Metadata(Metadata);
        if (MemoryMB is <= 0)
        {
            throw ApiException.Bad("memoryMB: more than 0");
        }

        Checks.Environment(Envs);
    }
}
