namespace OpenSandbox.Agent;

/// <summary>A path as the kernel gets it: a directory, what follows, and how far it may lead.</summary>
/// <param name="Directory">Descriptor that a relative path begins at.</param>
/// <param name="Path">The path, ending in NUL.</param>
/// <param name="Resolve">RESOLVE_* bits for openat2.</param>
internal readonly record struct PathBase(int Directory, byte[] Path, ulong Resolve);
