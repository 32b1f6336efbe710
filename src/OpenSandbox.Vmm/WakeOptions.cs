namespace OpenSandbox.Vmm;

/// <summary>How a sandbox is to be woken. Immutable.</summary>
public sealed record WakeOptions
{
    internal static WakeOptions Default { get; } = new();

    /// <summary>
    /// Whether to refuse rather than to boot from the disks when the memory cannot be used: QEMU, CPU or golden snapshot are others than when
    /// it was saved, or the saved memory is damaged. Default: no; the result says how it came back.
    /// </summary>
    public bool RequireMemory { get; init; }

    /// <summary>Whether to boot from the disks although the memory could be used; its processes are lost. Default: no.</summary>
    public bool FromDisk { get; init; }

    internal void Validate()
    {
        if (RequireMemory && FromDisk)
        {
            throw new ArgumentException($"{nameof(RequireMemory)} and {nameof(FromDisk)} exclude each other");
        }
    }
}
