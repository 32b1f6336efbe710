using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>
/// The file systems that the agent mounted itself, held open from then on. A path that stays on one of them cannot hang the caller: the
/// kernel refuses (EXDEV) to leave it, into FUSE or whatever the sandbox's root has mounted on top. Everything else is for other threads.
/// </summary>
internal sealed class TrustedMounts
{
    private (string Path, byte[] Terminated, int Fd, ulong MountId)[] _mounts = [];

    /// <summary>Opens the file systems that are there now. Call when the root has been decided upon.</summary>
    internal void Open()
    {
        foreach ((_, _, int fd, _) in _mounts)
        {
            _ = Libc.Close(fd);
        }

        var mounts = new List<(string, byte[], int, ulong)>();
        foreach (string path in (ReadOnlySpan<string>)["/workspace", "/tmp", "/"])
        {
            int fd = Libc.Open(CString.From(path), Linux.O_PATH | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0);
            if (fd >= 0 && MountAt(CString.From(path)) is { } mount)
            {
                mounts.Add((path, CString.From(path), fd, mount));
            }
        }

        _mounts = [.. mounts];
    }

    /// <summary>The path below the mount it should be on, not to leave it.</summary>
    internal PathBase Confine(string path)
    {
        foreach ((string prefix, byte[] terminated, int fd, ulong mount) in _mounts)
        {
            if (prefix.Length == 1)
            {
                return new PathBase(fd, path.Length == 1 ? "."u8.ToArray() : CString.From(path[1..]), Confined);
            }

            if (path.StartsWith(prefix, StringComparison.Ordinal) && (path.Length == prefix.Length || path[prefix.Length] == '/'))
            {
                if (MountAt(terminated) != mount)
                {
                    break; // something else is mounted there now, and that is what the path means
                }

                return new PathBase(fd, path.Length == prefix.Length ? CString.From(".") : CString.From(path[(prefix.Length + 1)..]), Confined);
            }
        }

        return Anywhere(path);
    }

    /// <summary>The path wherever it leads. For threads that may hang.</summary>
    internal static PathBase Anywhere(string path) => new(Linux.AT_FDCWD, CString.From(path), Linux.RESOLVE_NO_MAGICLINKS);

    /// <summary>The mount that a path leads to. Asks no file system for anything, so that none can make the caller wait.</summary>
    private static ulong? MountAt(ReadOnlySpan<byte> path) =>
        Libc.Statx(Linux.AT_FDCWD, path, Linux.AT_STATX_DONT_SYNC, Linux.STATX_MNT_ID, out StatxBuffer stat) == 0 ? stat.MountId : null;

    private const ulong Confined = Linux.RESOLVE_NO_XDEV | Linux.RESOLVE_NO_MAGICLINKS;
}
