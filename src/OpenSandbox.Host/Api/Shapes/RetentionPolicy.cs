namespace OpenSandbox.Host.Api;

/// <summary>What becomes of older checkpoints.</summary>
internal sealed record RetentionPolicy
{
    /// <summary><c>none</c> (default) or <c>delete_oldest</c>.</summary>
    public string? Mode { get; init; }

    public int? MaxCount { get; init; }
}
