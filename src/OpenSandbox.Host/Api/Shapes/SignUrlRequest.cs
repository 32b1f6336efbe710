namespace OpenSandbox.Host.Api;

/// <summary>Which file a URL is wanted for, and for how long.</summary>
internal sealed record SignUrlRequest
{
    public string? Path { get; init; }

    /// <summary>Seconds; default: 3,600.</summary>
    public int? ExpiresIn { get; init; }
}
