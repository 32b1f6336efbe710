namespace OpenSandbox.Vmm.Compression;

/// <summary>
/// A stored file of ours is damaged, cut short or was never one. Nothing of it may be used. What reading itself failed with (a full or
/// broken disk) stays an <see cref="IOException"/>.
/// </summary>
internal abstract class DamagedFileException(string message, Exception? inner = null) : Exception(message, inner);
