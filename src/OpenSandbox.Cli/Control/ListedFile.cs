using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Control;

/// <summary>What is kept of an entry of a directory in the guest: not to be relied on for anything outside it.</summary>
/// <param name="Name">Its name in the directory, which need not be one that a file can have.</param>
/// <param name="Kind">What it is.</param>
/// <param name="Mode">Permission bits.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Target">Where a symbolic link points.</param>
internal readonly record struct ListedFile(string Name, SandboxFileKind Kind, int Mode, long Size, string? Target)
{
    /// <summary>The part of a description that is kept: of the path only the last name counts, whatever the guest says comes before it.</summary>
    internal static ListedFile From(ControlFileEntry entry) => new(
        entry.Path[(entry.Path.LastIndexOf('/') + 1)..],
        entry.Kind,
        entry.Mode,
        entry.Size,
        entry.Kind == SandboxFileKind.SymbolicLink ? entry.Target : null);
}
