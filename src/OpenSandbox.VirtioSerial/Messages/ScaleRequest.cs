namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Scale"/>.</summary>
public sealed record ScaleRequest
{
    /// <summary>RAM asked for, MiB.</summary>
    public required long MemoryMib { get; init; }

    /// <summary>CPU limit asked for, percent of one CPU; absent: by memory.</summary>
    public long? CpuPercent { get; init; }
}
