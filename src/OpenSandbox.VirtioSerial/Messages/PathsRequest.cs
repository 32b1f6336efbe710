namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.ReadMany"/> and <see cref="Operations.StatMany"/>.</summary>
public sealed record PathsRequest
{
    /// <summary>Absolute paths, 1 to 10,000; answered in this order.</summary>
    public required string[] Paths { get; init; }

    /// <summary>Reading: files that are larger are an error of their own; absent: 67,108,864.</summary>
    public long? MaxFileBytes { get; init; }
}
