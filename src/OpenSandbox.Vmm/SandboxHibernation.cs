namespace OpenSandbox.Vmm;

/// <summary>What was saved when a sandbox was put away.</summary>
public sealed record SandboxHibernation
{
    internal SandboxHibernation(string snapshotId, long memoryPages, long memoryBytes, TimeSpan duration)
    {
        SnapshotId = snapshotId;
        MemoryPages = memoryPages;
        MemoryBytes = memoryBytes;
        Duration = duration;
    }

    /// <summary>Id of what was saved: <c>sn-</c> and 16 hexadecimal digits.</summary>
    public string SnapshotId { get; }

    /// <summary>Pages of 4 KiB in which the guest's memory differed from the golden snapshot.</summary>
    public long MemoryPages { get; }

    /// <summary>Bytes that memory and devices take on disk, compressed. What the disks take is not in it: it was there before.</summary>
    public long MemoryBytes { get; }

    /// <summary>From the call until nothing of the VM was left.</summary>
    public TimeSpan Duration { get; }
}
