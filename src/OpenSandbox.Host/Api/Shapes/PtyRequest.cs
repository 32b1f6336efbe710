namespace OpenSandbox.Host.Api;

/// <summary>A terminal: a new one, or a new size.</summary>
internal sealed record PtyRequest
{
    public int? Cols { get; init; }

    public int? Rows { get; init; }

    public string? Shell { get; init; }
}
