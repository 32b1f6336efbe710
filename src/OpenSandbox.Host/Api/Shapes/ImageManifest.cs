namespace OpenSandbox.Host.Api;

/// <summary>How an image is built.</summary>
internal sealed record ImageManifest
{
    public string? Base { get; init; }

    public ImageStep[]? Steps { get; init; }

    public string? Name { get; init; }

    public int? BuilderMemoryMB { get; init; }

    public int? RuntimeMemoryMB { get; init; }
}
