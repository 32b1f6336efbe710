namespace OpenSandbox.Vmm.Images;

/// <summary>The file <c>manifest.json</c> of an image.</summary>
internal sealed record ImageManifest
{
    internal const int CurrentFormat = 1;

    /// <summary>Format of the image's files.</summary>
    public required int Format { get; init; }

    /// <summary>Sparse digest of <c>rootfs.raw</c>; also the directory's name.</summary>
    public required string Digest { get; init; }

    /// <summary>Length of <c>rootfs.raw</c>, bytes: the size of the disk.</summary>
    public required long VirtualBytes { get; init; }

    /// <summary>Bytes that it really took on disk when it was imported.</summary>
    public required long StoredBytes { get; init; }

    /// <summary>When it was imported.</summary>
    public required DateTimeOffset CreatedAt { get; init; }
}
