using System.Runtime.InteropServices;
using System.Text;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Opens and describes files of the guest.</summary>
internal static class GuestFile
{
    private const int MaxLinkTarget = 4096;

    /// <summary>Opens a path under the rules of its base.</summary>
    /// <returns>A descriptor, or -1 with the errno.</returns>
    internal static int Open(in PathBase path, int flags, uint mode = 0)
    {
        var how = new OpenHow { Flags = (ulong)(uint)(flags | Linux.O_CLOEXEC), Mode = mode, Resolve = path.Resolve };
        return Libc.OpenAt2(path.Directory, path.Path, how);
    }

    /// <summary>Whether the last error only says that the path leads off a trusted mount.</summary>
    internal static bool LeftTheMount() => Marshal.GetLastPInvokeError() is Errno.EXDEV or Errno.EAGAIN or Errno.ELOOP;

    /// <summary>Status of an open file.</summary>
    internal static StatxBuffer Stat(int fd, string path) =>
        Libc.Statx(fd, "\0"u8, Linux.AT_EMPTY_PATH, Linux.STATX_BASIC_STATS, out StatxBuffer stat) == 0
            ? stat
            : throw GuestException.LastError("stat " + path);

    /// <summary>Describes an open file with everything there is to say.</summary>
    /// <param name="fd">The file; if it is a symbolic link, opened as such (O_PATH).</param>
    /// <param name="path">Its path as the host knows it.</param>
    /// <param name="users">The sandbox's users.</param>
    internal static FileEntry DescribeFully(int fd, string path, UserDatabase users)
    {
        if (Libc.Statx(fd, "\0"u8, Linux.AT_EMPTY_PATH, FullMask, out StatxBuffer stat) < 0)
        {
            throw GuestException.LastError("stat " + path);
        }

        return Describe(fd, stat, path) with { Details = Details(stat, users.Names()) };
    }

    /// <summary>What a description of a file says beyond what every answer says.</summary>
    internal static FileDetails Details(
        in StatxBuffer stat, (IReadOnlyDictionary<uint, string> Users, IReadOnlyDictionary<uint, string> Groups) names) => new()
    {
        User = names.Users.GetValueOrDefault(stat.Uid),
        Group = names.Groups.GetValueOrDefault(stat.Gid),
        AccessedNanoseconds = Nanoseconds(stat.AccessedSeconds, stat.AccessedNanoseconds),
        ChangedNanoseconds = Nanoseconds(stat.ChangedSeconds, stat.ChangedNanoseconds),
        CreatedNanoseconds = (stat.Mask & Linux.STATX_BTIME) != 0 ? Nanoseconds(stat.CreatedSeconds, stat.CreatedNanoseconds) : null,
    };

    /// <summary>Fields of statx(2) that <see cref="Details"/> wants.</summary>
    internal const uint FullMask = Linux.STATX_BASIC_STATS | Linux.STATX_BTIME;

    private static long Nanoseconds(long seconds, uint nanoseconds) => (seconds * 1_000_000_000) + nanoseconds;

    /// <summary>Describes an open file.</summary>
    /// <param name="fd">The file; if it is a symbolic link, opened as such (O_PATH).</param>
    /// <param name="stat">Its status.</param>
    /// <param name="path">Its path as the host knows it.</param>
    internal static FileEntry Describe(int fd, in StatxBuffer stat, string path) =>
        Entry(stat, path, (stat.Mode & Linux.S_IFMT) == Linux.S_IFLNK ? LinkTarget(fd, "\0"u8) : null);

    /// <summary>Makes the message.</summary>
    internal static FileEntry Entry(in StatxBuffer stat, string path, string? linkTarget) => new()
    {
        Path = path,
        Type = TypeName(stat.Mode & Linux.S_IFMT),
        Size = (long)stat.Size,
        Mode = stat.Mode & 0xFFF,
        Uid = stat.Uid,
        Gid = stat.Gid,
        ModifiedNanoseconds = Nanoseconds(stat.ModifiedSeconds, stat.ModifiedNanoseconds),
        LinkTarget = linkTarget,
    };

    /// <summary>Target of a symbolic link; <see langword="null"/> if it cannot be read.</summary>
    internal static string? LinkTarget(int directory, ReadOnlySpan<byte> name)
    {
        Span<byte> target = stackalloc byte[MaxLinkTarget];
        nint length = Libc.ReadLinkAt(directory, name, target, MaxLinkTarget);
        return length < 0 ? null : Encoding.UTF8.GetString(target[..(int)length]);
    }

    /// <summary>Refuses everything that is not a regular file: devices act when touched, FIFOs wait.</summary>
    internal static void RequireRegular(in StatxBuffer stat, string path)
    {
        uint type = stat.Mode & Linux.S_IFMT;
        if (type == Linux.S_IFDIR)
        {
            throw GuestException.System(path, Errno.EISDIR);
        }

        if (type != Linux.S_IFREG)
        {
            throw GuestException.Coded(AgentErrorCodes.InvalidRequest, $"{path}: a {TypeName(type)}, not a regular file");
        }
    }

    /// <summary>The protocol's name of a file type.</summary>
    internal static string TypeName(uint type) => type switch
    {
        Linux.S_IFREG => "file",
        Linux.S_IFDIR => "directory",
        Linux.S_IFLNK => "symlink",
        Linux.S_IFIFO => "fifo",
        Linux.S_IFSOCK => "socket",
        Linux.S_IFCHR => "char",
        _ => "block",
    };
}
