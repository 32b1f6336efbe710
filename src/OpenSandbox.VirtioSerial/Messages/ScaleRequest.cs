namespace OpenSandbox.VirtioSerial;

/// <summary>Parameters of <see cref="Operations.Scale"/>.</summary>
public sealed record ScaleRequest
{
    /// <summary>RAM asked for, MiB.</summary>
    public required int MemoryMib { get; init; }

    /// <summary>CPU limit asked for, percent of one CPU; absent: by memory.</summary>
    public int? CpuPercent { get; init; }
}
