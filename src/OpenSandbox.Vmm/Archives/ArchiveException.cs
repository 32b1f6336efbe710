using OpenSandbox.Vmm.Compression;

namespace OpenSandbox.Vmm.Archives;

/// <summary>An archive is damaged, cut short, or holds something that is not accepted. Nothing of it may be used.</summary>
internal sealed class ArchiveException(string message, Exception? inner = null) : DamagedFileException($"archive: {message}", inner);
