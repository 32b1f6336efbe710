namespace OpenSandbox.Cli.Control;

/// <summary>Which output of which process is wanted.</summary>
internal sealed record ControlOutput
{
    /// <summary>The process's id; <see langword="null"/>: the one that was started last.</summary>
    public string? Process { get; init; }

    /// <summary>Number of the first byte; <see langword="null"/>: the oldest that is kept.</summary>
    public long? From { get; init; }

    /// <summary>Whether to go on with what comes, until the process ends.</summary>
    public bool Follow { get; init; }
}
