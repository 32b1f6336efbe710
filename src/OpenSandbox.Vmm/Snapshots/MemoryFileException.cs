using OpenSandbox.Vmm.Compression;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>A memory file is damaged, or is not the one that was expected. The message says what is wrong.</summary>
internal sealed class MemoryFileException(string message, Exception? inner = null)
    : DamagedFileException($"memory file: {message}", inner);
