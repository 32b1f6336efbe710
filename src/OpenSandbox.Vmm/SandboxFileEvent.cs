namespace OpenSandbox.Vmm;

/// <summary>Something that happened to a file that is watched. Told by the guest: do not rely on it for anything outside the guest.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Path">Absolute path; empty for <see cref="SandboxFileEventKind.Overflow"/>.</param>
/// <param name="IsDirectory">Whether it is a directory.</param>
/// <param name="MoveId">The same number in the two events of one move; 0 in all others.</param>
public sealed record SandboxFileEvent(SandboxFileEventKind Kind, string Path, bool IsDirectory, long MoveId);
