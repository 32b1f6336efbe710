using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.Api;

/// <summary>A checkpoint to be made.</summary>
internal sealed record CheckpointRequest : IChecked
{
    public string? Name { get; init; }

    /// <summary><c>full</c> (default) or <c>disk_only</c>.</summary>
    public string? Kind { get; init; }

    public bool? PromoteToFull { get; init; }

    public RetentionPolicy? RetentionPolicy { get; init; }

    /// <inheritdoc/>
    public void Check()
    {
        Checks.Text(Name, 256, "name");
    }
}
