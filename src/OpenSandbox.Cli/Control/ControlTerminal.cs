namespace OpenSandbox.Cli.Control;

/// <summary>The terminal of a command.</summary>
internal sealed record ControlTerminal
{
    /// <summary>Columns.</summary>
    public required int Columns { get; init; }

    /// <summary>Rows.</summary>
    public required int Rows { get; init; }

    /// <summary>Value of TERM.</summary>
    public required string Type { get; init; }
}
