namespace OpenSandbox.Host.Records;

/// <summary>A script that sandboxes of a checkpoint run once. Immutable.</summary>
internal sealed record PatchEntry
{
    public required string Id { get; init; }

    /// <summary>From 1, in the order in which they are run.</summary>
    public required int Sequence { get; init; }

    public required string Script { get; init; }

    public string Description { get; init; } = "";

    public required DateTimeOffset CreatedAt { get; init; }
}
