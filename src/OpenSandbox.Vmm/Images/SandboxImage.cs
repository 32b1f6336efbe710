namespace OpenSandbox.Vmm;

/// <summary>A root file system image, as <see cref="SandboxImages.List"/> tells it.</summary>
/// <param name="Name">Name that points at it.</param>
/// <param name="Digest">Digest of its content: two names with the same digest are the same image.</param>
/// <param name="VirtualBytes">Size of the disk that the guest sees.</param>
/// <param name="StoredBytes">Bytes it took on the host's disk when it was imported.</param>
/// <param name="CreatedAt">When it was imported.</param>
public sealed record SandboxImage(string Name, string Digest, long VirtualBytes, long StoredBytes, DateTimeOffset CreatedAt);
