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

    /// <inheritdoc/>
    public void Check()
    {
        Checks.Text(Alias, 256, "alias");
        Checks.Metadata(Metadata);
        Checks.Environment(Envs);
        Checks.List(EgressAllowlist, "egressAllowlist");
    }
}
