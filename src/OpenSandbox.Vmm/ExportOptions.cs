namespace OpenSandbox.Vmm;

/// <summary>How a hibernated sandbox is written into an archive. Immutable.</summary>
public sealed record ExportOptions
{
    internal static ExportOptions Default { get; } = new();

    /// <summary>
    /// What goes into the archive: memory and disks, or the disks alone, from which whatever is made of it boots. Default:
    /// <see cref="CheckpointKind.Full"/>.
    /// </summary>
    public CheckpointKind Kind { get; init; }

    /// <summary>
    /// Gets the bytes of the archive written so far, about once for each MiB, on the thread that writes: must be quick. Default: none.
    /// </summary>
    public IProgress<long>? Progress { get; init; }

    internal void Validate()
    {
        if (!Enum.IsDefined(Kind))
        {
            throw new ArgumentException($"there is no kind {Kind} of archive", nameof(Kind));
        }
    }
}
