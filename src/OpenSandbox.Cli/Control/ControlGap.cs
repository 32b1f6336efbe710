namespace OpenSandbox.Cli.Control;

/// <summary>Output that is not kept any more.</summary>
internal sealed record ControlGap
{
    /// <summary>Bytes.</summary>
    public required long Bytes { get; init; }
}
