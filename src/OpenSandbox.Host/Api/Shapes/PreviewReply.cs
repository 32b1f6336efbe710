using System.Text.Json;

namespace OpenSandbox.Host.Api;

/// <summary>A port that has a URL.</summary>
internal sealed record PreviewReply
{
    public required string Id { get; init; }

    public required string SandboxId { get; init; }

    public string OrgId { get; init; } = "local";

    public required string Hostname { get; init; }

    public required int Port { get; init; }

    public string SslStatus { get; init; } = "active";

    public required JsonElement AuthConfig { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>The whole address, by host name.</summary>
    public required string Url { get; init; }

    /// <summary>The address without a host name of its own, where there is no DNS for that.</summary>
    public required string PathUrl { get; init; }
}
