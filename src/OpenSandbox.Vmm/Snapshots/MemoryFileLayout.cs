namespace OpenSandbox.Vmm.Snapshots;

/// <summary>How large the regions of the guest are that a memory file is for; a file for others is refused.</summary>
/// <param name="RamBytes">Size of <see cref="MemoryFileRegion.Ram"/>, a multiple of the page size.</param>
/// <param name="PluggedBytes">Size of <see cref="MemoryFileRegion.Plugged"/>, a multiple of the page size; 0 where there is none.</param>
internal readonly record struct MemoryFileLayout(long RamBytes, long PluggedBytes);
