namespace OpenSandbox.VirtioSerial;

/// <summary>A terminal to make for a process.</summary>
public sealed record TerminalRequest
{
    /// <summary>Columns, 1 to 65,535.</summary>
    public required int Columns { get; init; }

    /// <summary>Rows, 1 to 65,535.</summary>
    public required int Rows { get; init; }

    /// <summary>Value of TERM, which the command's own environment overrides; absent: <c>xterm-256color</c>.</summary>
    public string? Type { get; init; }
}
