namespace OpenSandbox.VirtioSerial;

/// <summary>Result of a request of the agent.</summary>
public sealed record HostReply
{
    /// <summary>Of <see cref="Operations.Dns"/>: the DNS message to give to the asker.</summary>
    public byte[]? Dns { get; init; }

    /// <summary>Of <see cref="Operations.Scale"/>: the memory in force, MiB.</summary>
    public int? MemoryMib { get; init; }

    /// <summary>Of <see cref="Operations.Scale"/>: the CPU limit in force, percent of one CPU.</summary>
    public int? CpuPercent { get; init; }
}
