namespace OpenSandbox.VirtioSerial;

/// <summary>
/// Parameters of <see cref="Operations.Limits"/>. In this order: memory that processes hold is checked against a lower limit, hot-plugged
/// memory is waited for, limits are set. Nothing at all: only the report.
/// </summary>
public sealed record LimitsRequest
{
    /// <summary>Limits to set; those that are absent stay as they are.</summary>
    public GuestLimits? Limits { get; init; }

    /// <summary>
    /// Refuse, and change nothing, when processes hold more memory than <see cref="GuestLimits.MemoryMaxBytes"/> or than the guest has left
    /// without <see cref="RemovedMemoryBytes"/>. What the kernel can reclaim does not count.
    /// </summary>
    public bool RefuseMemoryInUse { get; init; }

    /// <summary>Bytes of hot-plugged memory that the host is going to take away after this request.</summary>
    public long? RemovedMemoryBytes { get; init; }

    /// <summary>Wait until so many bytes of hot-plugged memory are online, coming from either side, before limits are set; absent: do not wait.</summary>
    public long? PluggedMemoryBytes { get; init; }

    /// <summary>Give the wait up when no memory has come or gone for so long, 1 to 600,000; absent: 5,000.</summary>
    public int? StallMilliseconds { get; init; }
}
