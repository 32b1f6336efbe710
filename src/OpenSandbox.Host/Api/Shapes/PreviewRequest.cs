using System.Text.Json;

namespace OpenSandbox.Host.Api;

/// <summary>A port that is to have a URL.</summary>
internal sealed record PreviewRequest
{
    public int? Port { get; init; }

    public string? Domain { get; init; }

    public JsonElement? AuthConfig { get; init; }
}
