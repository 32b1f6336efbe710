using System.Text.Json;

namespace OpenSandbox.Host.Api;

/// <summary>An image that is to be built and have a name.</summary>
internal sealed record SnapshotRequest
{
    public string? Name { get; init; }

    public JsonElement? Image { get; init; }
}
