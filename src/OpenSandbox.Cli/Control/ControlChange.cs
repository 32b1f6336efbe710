namespace OpenSandbox.Cli.Control;

/// <summary>How a sandbox as a whole is to be changed.</summary>
internal sealed record ControlChange
{
    /// <summary>Of <see cref="ControlOperation.Checkpoint"/>: what it is called.</summary>
    public string? Name { get; init; }

    /// <summary>Of <see cref="ControlOperation.Checkpoint"/>: the disks alone.</summary>
    public bool DiskOnly { get; init; }

    /// <summary>Of <see cref="ControlOperation.Restore"/>: the checkpoint's id.</summary>
    public string? Checkpoint { get; init; }

    /// <summary>Of <see cref="ControlOperation.Restore"/>: refuse rather than boot from the disks.</summary>
    public bool RequireMemory { get; init; }

    /// <summary>Of <see cref="ControlOperation.Restore"/>: boot from the disks.</summary>
    public bool FromDisk { get; init; }

    /// <summary>Of <see cref="ControlOperation.Pause"/>: move its memory to swap.</summary>
    public bool PageOut { get; init; }

    /// <summary>Of <see cref="ControlOperation.Fork"/>: how many.</summary>
    public int Count { get; init; }
}
