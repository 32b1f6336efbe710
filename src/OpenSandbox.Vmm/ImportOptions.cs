namespace OpenSandbox.Vmm;

/// <summary>How an archive becomes a sandbox. Immutable.</summary>
public sealed record ImportOptions
{
    internal static ImportOptions Default { get; } = new();

    /// <summary>
    /// Whether the sandbox gets the id that it had where the archive was made, which must be free here, and stays that machine. Default: no; it
    /// gets a new id, and when it wakes a machine id and host name of its own.
    /// </summary>
    public bool KeepId { get; init; }

    /// <summary>
    /// Whether to refuse an archive whose memory cannot be used here: it has none, or QEMU, CPU or golden snapshot are others than where it was
    /// made. Default: no; it is imported, and <see cref="Sandbox.WakeAsync"/> boots it from its disks and says why.
    /// </summary>
    public bool RequireMemory { get; init; }

    /// <summary>
    /// What is taken out of the archive: memory and disks, or the disks alone. QEMU reads the state of the devices that belongs to the memory: take
    /// the disks alone of archives whose maker is not to reach even a jailed QEMU. Default: <see cref="CheckpointKind.Full"/>.
    /// </summary>
    public CheckpointKind Kind { get; init; }

    /// <summary>
    /// Most bytes of content that an archive may unpack to, holes included, 1 MiB to 64 TiB. Default: 64 GiB.
    /// </summary>
    public long MaxBytes { get; init; } = 64L << 30;

    /// <summary>What the sandbox may reach, instead of what the archive says. Default: what the archive says.</summary>
    public EgressPolicy? Egress { get; init; }

    /// <summary>What its VM lives as long as, once it is woken. Default: what the archive says.</summary>
    public SandboxLifetime? Lifetime { get; init; }

    /// <summary>Labels, instead of those in the archive. Default: those in the archive.</summary>
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary>
    /// Gets the bytes of the archive read so far, about once for each MiB, on the thread that reads: must be quick. Default: none.
    /// </summary>
    public IProgress<long>? Progress { get; init; }

    internal void Validate()
    {
        if (!Enum.IsDefined(Kind))
        {
            throw new ArgumentException($"there is no kind {Kind} of archive", nameof(Kind));
        }

        if (RequireMemory && Kind == CheckpointKind.DiskOnly)
        {
            throw new ArgumentException($"{nameof(RequireMemory)} excludes {nameof(CheckpointKind.DiskOnly)}");
        }

        if (MaxBytes is < 1 << 20 or > 1L << 46)
        {
            throw new ArgumentException($"{nameof(MaxBytes)} of {MaxBytes}: 1 MiB to 64 TiB", nameof(MaxBytes));
        }
    }
}
