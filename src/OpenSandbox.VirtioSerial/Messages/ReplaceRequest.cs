namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Replace"/>.</summary>
public sealed record ReplaceRequest
{
    /// <summary>The files, 1 to 1,000, one after the other.</summary>
    public required ReplaceItem[] Files { get; init; }

    /// <summary>Refuse files, and results, that are larger, bytes: 1 to 67,108,864, which is also what absence means.</summary>
    public long? MaxFileBytes { get; init; }
}
