namespace OpenSandbox.Host.Api;

/// <summary>A file of a folder that is added to an image.</summary>
internal sealed record ImageFile
{
    public string? RelativePath { get; init; }

    /// <summary>Base64.</summary>
    public string? Content { get; init; }
}
