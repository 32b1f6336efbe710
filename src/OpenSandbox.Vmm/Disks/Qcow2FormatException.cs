using OpenSandbox.Vmm.Compression;

namespace OpenSandbox.Vmm.Disks;

/// <summary>A qcow2 layer is damaged, or is of a kind that is not accepted. The message says why.</summary>
internal sealed class Qcow2FormatException(string message) : DamagedFileException($"qcow2 layer: {message}");
