using System.Text.Json;
using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.Api;

/// <summary><c>POST /api/sandboxes</c>. Everything may be left out.</summary>
internal sealed record CreateSandboxRequest : IChecked
{
    public string? TemplateID { get; init; }

    public string? Alias { get; init; }

    public Dictionary<string, string>? Metadata { get; init; }

    /// <summary>Idle timeout, seconds; 0: never; left out: the server's default.</summary>
    public int? Timeout { get; init; }

    public int? CpuCount { get; init; }

    public int? MemoryMB { get; init; }

    public int? DiskMB { get; init; }

    public Dictionary<string, string>? Envs { get; init; }

    public bool? NetworkEnabled { get; init; }

    public string[]? EgressAllowlist { get; init; }

    public PreviewAuth? PreviewAuth { get; init; }

    /// <summary>Steps that make the image which it begins with.</summary>
    public JsonElement? Image { get; init; }

    /// <summary>Name of the snapshot that it begins with.</summary>
    public string? Snapshot { get; init; }

    /// <summary>Not supported.</summary>
    public string? SecretStore { get; init; }

    /// <summary>Not supported.</summary>
    public JsonElement? Webhooks { get; init; }

    /// <inheritdoc/>
    public void Check()
    {
        Checks.Text(Alias, 256, "alias");
        Checks.Metadata(Metadata);
        Checks.Environment(Envs);
        Checks.List(EgressAllowlist, "egressAllowlist");
    }
}
