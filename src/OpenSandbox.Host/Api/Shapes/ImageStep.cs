namespace OpenSandbox.Host.Api;

/// <summary>A step of an image.</summary>
internal sealed record ImageStep
{
    public string? Type { get; init; }

    public ImageStepArgs? Args { get; init; }
}
