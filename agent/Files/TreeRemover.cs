using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Removes files and trees. Never follows a symbolic link below the path's own directory. Runs on threads that may hang.</summary>
internal static class TreeRemover
{
    private const int MaxDepth = 16_384; // one open descriptor a level

    /// <summary>Serves a remove request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="isCancelled">Asked between entries.</param>
    internal static void Remove(FileRequest request, Func<bool> isCancelled)
    {
        string path = GuestPath.Check(request.Path);
        (string parentPath, string name) = GuestPath.Split(path);
        int parent = GuestFile.Open(TrustedMounts.Anywhere(parentPath), Linux.O_PATH | Linux.O_DIRECTORY);
        if (parent < 0)
        {
            if (request.IgnoreMissing && Marshal.GetLastPInvokeError() == Errno.ENOENT)
            {
                return;
            }

            throw GuestException.LastError("open directory " + parentPath);
        }

        try
        {
            Remove(parent, CString.From(name), path, request.Recursive, request.IgnoreMissing, isCancelled);
        }
        finally
        {
            _ = Libc.Close(parent);
        }
    }

    /// <summary>
    /// Removes one entry of an open directory with all that is in it, to the end: for a caller that has looked at this directory, because
    /// its path may lead to another one by now.
    /// </summary>
    /// <param name="directory">The directory; not closed.</param>
    /// <param name="name">The entry's name, ending in NUL.</param>
    /// <param name="path">What to call it in messages.</param>
    /// <param name="ignoreMissing">Whether it may be gone already.</param>
    internal static void RemoveEntry(int directory, byte[] name, string path, bool ignoreMissing = false) =>
        Remove(directory, name, path, recursive: true, ignoreMissing, static () => false);

    private static void Remove(int parent, byte[] name, string path, bool recursive, bool ignoreMissing, Func<bool> isCancelled)
    {
        if (Unlink(parent, name, out int errno) || (ignoreMissing && errno == Errno.ENOENT))
        {
            return;
        }

        if (errno != Errno.ENOTEMPTY || !recursive)
        {
            throw GuestException.System("remove " + path, errno);
        }

        RemoveTree(parent, name, path, isCancelled);
    }

    /// <summary>Removes a file or an empty directory.</summary>
    private static bool Unlink(int directory, ReadOnlySpan<byte> name, out int errno)
    {
        errno = 0;
        if (Libc.UnlinkAt(directory, name, 0) == 0)
        {
            return true;
        }

        errno = Marshal.GetLastPInvokeError();
        if (errno is not (Errno.EISDIR or Errno.EPERM))
        {
            return false;
        }

        if (Libc.UnlinkAt(directory, name, Linux.AT_REMOVEDIR) == 0)
        {
            return true;
        }

        int second = Marshal.GetLastPInvokeError();
        errno = second == Errno.ENOTDIR ? errno : second; // not a directory: the first answer stands
        return false;
    }

    private static void RemoveTree(int parent, byte[] name, string path, Func<bool> isCancelled)
    {
        var levels = new Stack<(int Fd, byte[] Name)>();
        try
        {
            levels.Push((OpenLevel(parent, name, path), name));
            byte[] buffer = new byte[32 * 1024];
            while (levels.Count > 0)
            {
                if (isCancelled())
                {
                    throw GuestException.Coded(AgentErrorCodes.Cancelled, "cancelled; part of the tree is gone");
                }

                (int fd, byte[] current) = levels.Peek();
                if (EmptyOnce(fd, buffer, path, out byte[]? deeper))
                {
                    levels.Pop();
                    _ = Libc.Close(fd);
                    int above = levels.Count > 0 ? levels.Peek().Fd : parent;
                    _ = GuestException.Check(Libc.UnlinkAt(above, current, Linux.AT_REMOVEDIR), "rmdir below " + path);
                }
                else if (deeper is not null)
                {
                    if (levels.Count == MaxDepth)
                    {
                        throw GuestException.Coded(AgentErrorCodes.LimitReached, $"{path}: deeper than {MaxDepth} levels");
                    }

                    levels.Push((OpenLevel(fd, deeper, path), deeper));
                }
            }
        }
        finally
        {
            foreach ((int fd, _) in levels)
            {
                _ = Libc.Close(fd);
            }
        }
    }

    private static int OpenLevel(int parent, byte[] name, string path) => GuestException.Check(
        Libc.OpenAt(parent, name, Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_NOFOLLOW | Linux.O_CLOEXEC, 0), "open directory below " + path);

    /// <summary>Removes entries from one batch of a directory until one must be entered first.</summary>
    /// <returns>Whether the directory is empty.</returns>
    private static bool EmptyOnce(int fd, byte[] buffer, string path, out byte[]? deeper)
    {
        deeper = null;
        _ = Libc.LSeek(fd, 0, 0); // entries vanish while the directory is read: each batch starts over
        bool any = false;
        while (true)
        {
            nint count = Libc.GetDents64(fd, buffer, (nuint)buffer.Length);
            if (count < 0)
            {
                throw GuestException.LastError("read directory below " + path);
            }

            if (count == 0)
            {
                return !any;
            }

            var entries = new DirectoryEntries(buffer.AsSpan(0, (int)count));
            while (entries.Next(out ReadOnlySpan<byte> name))
            {
                any = true;
                if (Unlink(fd, name, out int errno) || errno == Errno.ENOENT)
                {
                    continue;
                }

                if (errno != Errno.ENOTEMPTY)
                {
                    throw GuestException.System("remove below " + path, errno);
                }

                deeper = name.ToArray();
                return false;
            }
        }
    }
}
