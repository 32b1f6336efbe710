namespace OpenSandbox.Host.Api;

/// <summary>A token that previews of a new sandbox ask for.</summary>
internal sealed record PreviewAuth
{
    /// <summary><c>bearer</c>.</summary>
    public string? Scheme { get; init; }

    /// <summary>The token, or <c>auto</c> (default) for a new one.</summary>
    public string? Token { get; init; }
}
