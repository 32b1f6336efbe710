namespace OpenSandbox.Host.Api;

/// <summary>What a step is given; which of it depends on its type.</summary>
internal sealed record ImageStepArgs
{
    public string[]? Packages { get; init; }

    public string[]? Commands { get; init; }

    public Dictionary<string, string>? Vars { get; init; }

    public string? Path { get; init; }

    public string? Content { get; init; }

    /// <summary><c>base64</c>, or nothing for text.</summary>
    public string? Encoding { get; init; }

    public ImageFile[]? Files { get; init; }
}
