using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <summary>What a path in the guest is. Told by the guest: do not rely on it for anything outside the guest.</summary>
/// <param name="Path">Absolute path.</param>
/// <param name="Kind">What it is; symbolic links are not followed.</param>
/// <param name="Size">Size, bytes.</param>
/// <param name="Mode">Permission bits, 0 to 4095 (octal 7777).</param>
/// <param name="Uid">Owner.</param>
/// <param name="Gid">Group.</param>
/// <param name="ModifiedAt">Last modification, to 100 ns.</param>
/// <param name="LinkTarget">Where a symbolic link points.</param>
public sealed record SandboxFile(
    string Path, SandboxFileKind Kind, long Size, int Mode, long Uid, long Gid, DateTimeOffset ModifiedAt, string? LinkTarget)
{
    internal static SandboxFile From(FileEntry entry) => new(
        entry.Path,
        entry.Type switch
        {
            "file" => SandboxFileKind.File,
            "directory" => SandboxFileKind.Directory,
            "symlink" => SandboxFileKind.SymbolicLink,
            _ => SandboxFileKind.Other,
        },
        entry.Size,
        entry.Mode,
        entry.Uid,
        entry.Gid,
        ToTime(entry.ModifiedNanoseconds),
        entry.LinkTarget);

    private static DateTimeOffset ToTime(long nanoseconds) => DateTimeOffset.UnixEpoch.AddTicks(nanoseconds / TimeSpan.NanosecondsPerTick);
}
