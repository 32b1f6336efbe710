namespace OpenSandbox.Vmm.Compression;

/// <summary>What was to be an LZ4 frame is damaged, ends early, or has more content than it may have.</summary>
internal sealed class Lz4FormatException(string message) : DamagedFileException(message);
