namespace OpenSandbox.Vmm;

/// <summary>A terminal for a process. Immutable.</summary>
public sealed record TerminalOptions
{
    /// <summary>Columns, 1 to 65,535. Default: 80.</summary>
    public int Columns { get; init; } = 80;

    /// <summary>Rows, 1 to 65,535. Default: 24.</summary>
    public int Rows { get; init; } = 24;

    /// <summary>Value of TERM, 1 to 64 printable ASCII characters. Default: <c>xterm-256color</c>.</summary>
    public string Type { get; init; } = "xterm-256color";

    internal void Validate()
    {
        ValidateSize(Columns, Rows);
        ArgumentNullException.ThrowIfNull(Type);
        if (Type.Length is 0 or > 64 || Type.Any(static c => c is <= ' ' or > '~'))
        {
            throw new ArgumentException("TERM: 1 to 64 printable ASCII characters", nameof(Type));
        }
    }

    internal static void ValidateSize(int columns, int rows)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(columns, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(columns, ushort.MaxValue);
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows, ushort.MaxValue);
    }
}
