namespace OpenSandbox.Cli.Control;

/// <summary>What an operation on a file is about.</summary>
internal sealed record ControlFile
{
    /// <summary>Absolute path in the guest.</summary>
    public required string Path { get; init; }

    /// <summary>Permission bits.</summary>
    public int? Mode { get; init; }

    /// <summary>Owner.</summary>
    public string? User { get; init; }

    /// <summary>Levels to list.</summary>
    public int? Depth { get; init; }
}
