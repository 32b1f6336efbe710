namespace OpenSandbox.Cli.Control;

/// <summary>A process that has been started.</summary>
internal sealed record ControlStarted
{
    /// <summary>Its id in the sandbox.</summary>
    public required string Id { get; init; }
}
