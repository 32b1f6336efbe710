namespace OpenSandbox.Vmm.Images;

/// <summary>A name that points at an image: one small file under <c>refs</c>.</summary>
internal sealed record ImageReference
{
    /// <summary>Digest of the image.</summary>
    public required string Digest { get; init; }

    /// <summary>Digest of what it was built from, so that a build can be skipped; absent for imported files.</summary>
    public string? SourceDigest { get; init; }
}
