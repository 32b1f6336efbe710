using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.Api;

/// <summary>A terminal: a new one, or a new size.</summary>
internal sealed record PtyRequest : IChecked
{
    public int? Cols { get; init; }

    public int? Rows { get; init; }

    public string? Shell { get; init; }

    /// <inheritdoc/>
    public void Check()
    {
        Checks.Text(Shell, 4_095, "shell");
    }
}
