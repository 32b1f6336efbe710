namespace OpenSandbox.VirtioSerial;

/// <summary>Result of <see cref="Operations.Resume"/>.</summary>
public sealed record ResumeResult
{
    /// <summary>Microseconds from the request's arrival to this result.</summary>
    public long TotalMicroseconds { get; init; }

    /// <summary>Microseconds of it spent on mounting disks and switching root.</summary>
    public long MountMicroseconds { get; init; }

    /// <summary><c>MemTotal</c> of the guest, bytes.</summary>
    public long MemoryBytes { get; init; }

    /// <summary>Online vCPUs.</summary>
    public int VcpuCount { get; init; }
}
