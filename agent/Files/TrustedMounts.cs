using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>
/// The file systems that the agent mounted itself, held open from then on. A path that stays on one of them cannot hang the caller: the
/// kernel refuses (EXDEV) to leave it, into FUSE or whatever the sandbox's root has mounted on top. Everything else is for other threads.
/// </summary>
internal sealed class TrustedMounts
{
    private (string Prefix, int Fd)[] _mounts = [];

    /// <summary>Opens the file systems that are there now. Call when the root has been decided upon.</summary>
    internal void Open()
    {
        foreach ((_, int fd) in _mounts)
        {
            _ = Libc.Close(fd);
        }

        var mounts = new List<(string, int)>();
        foreach (string path in (ReadOnlySpan<string>)["/workspace", "/tmp", "/"])
        {
            int fd = Libc.Open(CString.From(path), Linux.O_PATH | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0);
            if (fd >= 0)
            {
                mounts.Add((path, fd));
            }
        }

        _mounts = [.. mounts];
    }

    /// <summary>The path below the mount it should be on, not to leave it.</summary>
    internal PathBase Confine(string path)
    {
        foreach ((string prefix, int fd) in _mounts)
        {
            if (prefix.Length == 1)
            {
                return new PathBase(fd, path.Length == 1 ? "."u8.ToArray() : CString.From(path[1..]), Confined);
            }

            if (path.StartsWith(prefix, StringComparison.Ordinal) && (path.Length == prefix.Length || path[prefix.Length] == '/'))
            {
                return new PathBase(fd, path.Length == prefix.Length ? CString.From(".") : CString.From(path[(prefix.Length + 1)..]), Confined);
            }
        }

        return Anywhere(path);
    }

    /// <summary>The path wherever it leads. For threads that may hang.</summary>
    internal static PathBase Anywhere(string path) => new(Linux.AT_FDCWD, CString.From(path), Linux.RESOLVE_NO_MAGICLINKS);

    private const ulong Confined = Linux.RESOLVE_NO_XDEV | Linux.RESOLVE_NO_MAGICLINKS;
}
