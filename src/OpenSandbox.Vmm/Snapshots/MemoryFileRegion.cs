namespace OpenSandbox.Vmm.Snapshots;

/// <summary>Parts of a guest's memory, in the order in which they stand in a memory file. The values are those of the format.</summary>
internal enum MemoryFileRegion
{
    /// <summary>What the guest booted with.</summary>
    Ram = 1,

    /// <summary>What was plugged in later.</summary>
    Plugged = 2,
}
