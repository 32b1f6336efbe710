namespace OpenSandbox.Vmm;

/// <summary>One of several files to write.</summary>
/// <param name="Path">Absolute path.</param>
/// <param name="Content">The content.</param>
/// <param name="Options">Default: see <see cref="FileWriteOptions"/>.</param>
public sealed record FileContent(string Path, ReadOnlyMemory<byte> Content, FileWriteOptions? Options = null);
