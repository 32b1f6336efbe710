using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <summary>What a path in the guest is. Told by the guest: do not rely on it for anything outside the guest.</summary>
/// <param name="Path">Absolute path.</param>
/// <param name="Kind">What it is; symbolic links are not followed.</param>
/// <param name="Size">Size, bytes.</param>
/// <param name="Mode">Permission bits, 0 to 4095 (octal 7777).</param>
/// <param name="Uid">Owner.</param>
/// <param name="Gid">Group.</param>
/// <param name="ModifiedNanoseconds">Last change of its content, nanoseconds since the Unix epoch.</param>
/// <param name="LinkTarget">Where a symbolic link points.</param>
public sealed record SandboxFile(
    string Path, SandboxFileKind Kind, long Size, int Mode, long Uid, long Gid, long ModifiedNanoseconds, string? LinkTarget)
{
    /// <summary>Last change of its content, to 100 ns.</summary>
    public DateTimeOffset ModifiedAt => ToTime(ModifiedNanoseconds);

    /// <summary>Name of the owner in the guest, if it has one. Known from descriptions, listings and searches, as all that follows.</summary>
    public string? User { get; init; }

    /// <summary>Name of the group in the guest, if it has one.</summary>
    public string? Group { get; init; }

    /// <summary>Last access, nanoseconds since the Unix epoch. The sandbox's disks are mounted without keeping track of accesses.</summary>
    public long? AccessedNanoseconds { get; init; }

    /// <summary>Last change of content, mode, owner or name, nanoseconds since the Unix epoch.</summary>
    public long? ChangedNanoseconds { get; init; }

    /// <summary>When it was made, nanoseconds since the Unix epoch; <see langword="null"/> also where the file system does not keep it.</summary>
    public long? CreatedNanoseconds { get; init; }

    /// <summary>When it was made, to 100 ns.</summary>
    public DateTimeOffset? CreatedAt => CreatedNanoseconds is long created ? ToTime(created) : null;

    internal static SandboxFile From(FileEntry entry)
    {
        var file = new SandboxFile(
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
            entry.ModifiedNanoseconds,
            entry.LinkTarget);
        return entry.Details is not FileDetails details ? file : file with
        {
            User = details.User,
            Group = details.Group,
            AccessedNanoseconds = details.AccessedNanoseconds,
            ChangedNanoseconds = details.ChangedNanoseconds,
            CreatedNanoseconds = details.CreatedNanoseconds,
        };
    }

    private static DateTimeOffset ToTime(long nanoseconds) => DateTimeOffset.UnixEpoch.AddTicks(nanoseconds / TimeSpan.NanosecondsPerTick);
}
