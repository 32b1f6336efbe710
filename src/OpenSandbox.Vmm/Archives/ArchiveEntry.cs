namespace OpenSandbox.Vmm.Archives;

/// <summary>One file in an archive.</summary>
/// <param name="Name">Its name, one that <see cref="ArchiveNames"/> accepts.</param>
/// <param name="Length">Its length, bytes.</param>
/// <param name="StoredLength">What it takes in the archive, bytes.</param>
/// <param name="Sha256">SHA-256 of its content, lower-case hexadecimal.</param>
internal sealed record ArchiveEntry(string Name, long Length, long StoredLength, string Sha256);
