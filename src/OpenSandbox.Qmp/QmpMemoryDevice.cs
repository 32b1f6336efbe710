namespace OpenSandbox.Qmp;

/// <summary>One entry of query-memory-devices.</summary>
public sealed record QmpMemoryDevice
{
    /// <summary><c>virtio-mem</c>, <c>dimm</c>, ... At most 128 characters.</summary>
    public required string Type { get; init; }

    /// <summary>The device's id; null when it was given none. At most 256 characters.</summary>
    public string? Id { get; init; }

    /// <summary>Bytes that are plugged now.</summary>
    public required long SizeBytes { get; init; }

    /// <summary>virtio-mem: bytes that the host asked for; null for other types.</summary>
    public long? RequestedSizeBytes { get; init; }

    /// <summary>virtio-mem: the most that can be plugged; null for other types.</summary>
    public long? MaxSizeBytes { get; init; }

    /// <summary>virtio-mem: granularity in bytes; null for other types.</summary>
    public long? BlockSizeBytes { get; init; }
}
