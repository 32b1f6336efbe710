namespace OpenSandbox.Cli.Control;

/// <summary>A sandbox that stands still, as <c>pause --json</c> prints it.</summary>
internal sealed record PauseRow
{
    /// <summary>Its id.</summary>
    public required string Id { get; init; }

    /// <summary>Bytes of its memory that went to swap.</summary>
    public long PagedOutBytes { get; init; }
}
