using System.Text.Json;

namespace OpenSandbox.Host.Records;

/// <summary>A port that a client has asked a URL for. Immutable.</summary>
internal sealed record PreviewEntry
{
    public required string Id { get; init; }

    public required int Port { get; init; }

    /// <summary>What the client wants to remember with it.</summary>
    public JsonElement? AuthConfig { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
}
