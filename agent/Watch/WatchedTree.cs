using System.Runtime.InteropServices;
using System.Text;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>The watches of one inotify instance and the paths they stand for. Used by one thread at a time.</summary>
/// <param name="root">The path that was asked for.</param>
/// <param name="maxWatches">The most watches.</param>
internal sealed class WatchedTree(string root, int maxWatches)
{
    private const uint Events = Linux.IN_MODIFY | Linux.IN_ATTRIB | Linux.IN_CLOSE_WRITE | Linux.IN_MOVED_FROM | Linux.IN_MOVED_TO
        | Linux.IN_CREATE | Linux.IN_DELETE | Linux.IN_DELETE_SELF | Linux.IN_MOVE_SELF | Linux.IN_EXCL_UNLINK;

    private const int MaxAnnounced = 4_096;
    private const int EntriesBuffer = 16 * 1024;

    private readonly Dictionary<int, string> _paths = [];
    private byte[]? _buffer;

    /// <summary>The inotify instance, nonblocking; -1 before <see cref="Start"/> and after <see cref="Close"/>.</summary>
    internal int Fd { get; private set; } = -1;

    /// <summary>The path that was asked for.</summary>
    internal string Root => root;

    /// <summary>The watch of the root.</summary>
    internal int RootWatch { get; private set; } = -1;

    /// <summary>Makes the instance and watches the root. On a worker's thread.</summary>
    /// <returns>Whether the root is a directory.</returns>
    internal bool Start()
    {
        int look = GuestException.Check(GuestFile.Open(TrustedMounts.Anywhere(root), Linux.O_PATH), "watch " + root);
        uint type;
        try
        {
            type = GuestFile.Stat(look, root).Mode & Linux.S_IFMT;
        }
        finally
        {
            _ = Libc.Close(look);
        }

        Fd = GuestException.Check(Libc.INotifyInit1(Linux.IN_CLOEXEC | Linux.IN_NONBLOCK), "inotify_init1");
        RootWatch = GuestException.Check(Libc.INotifyAddWatch(Fd, CString.From(root), Events), "watch " + root);
        _paths[RootWatch] = root;
        return type == Linux.S_IFDIR;
    }

    /// <summary>Watches a directory and all directories below it. On a worker's thread.</summary>
    /// <param name="path">The directory; need not exist any more.</param>
    /// <param name="events">Gets what was there before it was watched, if that is to be told, and what cannot be watched.</param>
    /// <param name="announce">Whether to tell what is in it.</param>
    /// <param name="isCancelled">Asked between directories.</param>
    internal void AddTree(string path, List<WatchEvent> events, bool announce, Func<bool> isCancelled)
    {
        var waiting = new Stack<string>();
        waiting.Push(path);
        while (waiting.TryPop(out string? directory) && !isCancelled())
        {
            if (_paths.Count >= maxWatches && directory != root)
            {
                events.Add(new WatchEvent { Kind = "limit", Path = directory, Directory = true });
                return;
            }

            if (directory != root && !Add(directory, events))
            {
                continue;
            }

            Descend(directory, waiting, announce ? events : null);
        }
    }

    /// <summary>The path that a watch stands for.</summary>
    internal bool TryGetPath(int watch, out string path)
    {
        bool known = _paths.TryGetValue(watch, out string? found);
        path = found ?? "";
        return known;
    }

    /// <summary>The kernel has dropped a watch.</summary>
    internal void Forget(int watch) => _paths.Remove(watch);

    /// <summary>A directory has another path: so has all that is below it.</summary>
    internal void Rename(string from, string to)
    {
        string prefix = from + "/";
        foreach (int watch in _paths.Keys.ToArray())
        {
            string path = _paths[watch];
            if (path == from || path.StartsWith(prefix, StringComparison.Ordinal))
            {
                _paths[watch] = to + path[from.Length..];
            }
        }
    }

    /// <summary>Stops watching a directory that has left the tree, and what is below it.</summary>
    internal void Remove(string path)
    {
        string prefix = path + "/";
        foreach ((int watch, string watched) in _paths.ToArray())
        {
            if (watched == path || watched.StartsWith(prefix, StringComparison.Ordinal))
            {
                _ = Libc.INotifyRmWatch(Fd, watch); // fails only if the kernel has dropped it already
                _paths.Remove(watch);
            }
        }
    }

    /// <summary>Closes the instance.</summary>
    internal void Close()
    {
        if (Fd >= 0)
        {
            _ = Libc.Close(Fd);
            Fd = -1;
        }
    }

    private bool Add(string directory, List<WatchEvent> events)
    {
        int watch = Libc.INotifyAddWatch(Fd, CString.From(directory), Events | Linux.IN_ONLYDIR | Linux.IN_DONT_FOLLOW);
        if (watch >= 0)
        {
            _paths[watch] = directory;
            return true;
        }

        if (Marshal.GetLastPInvokeError() is not (Errno.ENOENT or Errno.ENOTDIR or Errno.ELOOP))
        {
            // Not gone, but out of reach: the kernel's own bound on watches, or a name that is too long.
            events.Add(new WatchEvent { Kind = "limit", Path = directory, Directory = true });
        }

        return false;
    }

    private void Descend(string directory, Stack<string> waiting, List<WatchEvent>? announced)
    {
        int fd = GuestFile.Open(TrustedMounts.Anywhere(directory), Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_NONBLOCK);
        if (fd < 0)
        {
            return; // gone again
        }

        _buffer ??= new byte[EntriesBuffer];
        nint count;
        while ((count = Libc.GetDents64(fd, _buffer, (nuint)_buffer.Length)) > 0)
        {
            var entries = new DirectoryEntries(_buffer.AsSpan(0, (int)count));
            while (entries.Next(out ReadOnlySpan<byte> name, out byte type))
            {
                bool isDirectory = type == Linux.DT_DIR || (type == Linux.DT_UNKNOWN && IsDirectory(fd, name));
                if (!isDirectory && announced is null)
                {
                    continue;
                }

                string path = (directory == "/" ? "/" : directory + "/") + Encoding.UTF8.GetString(name[..^1]);
                Announce(announced, path, isDirectory);
                if (isDirectory)
                {
                    waiting.Push(path);
                }
            }
        }

        _ = Libc.Close(fd);
    }

    private static void Announce(List<WatchEvent>? events, string path, bool isDirectory)
    {
        if (events is null || events.Count > MaxAnnounced)
        {
            return;
        }

        events.Add(events.Count == MaxAnnounced
            ? new WatchEvent { Kind = "overflow" }
            : new WatchEvent { Kind = "created", Path = path, Directory = isDirectory });
    }

    private static bool IsDirectory(int directory, ReadOnlySpan<byte> name) =>
        Libc.Statx(directory, name, Linux.AT_SYMLINK_NOFOLLOW, Linux.STATX_BASIC_STATS, out StatxBuffer stat) == 0
        && (stat.Mode & Linux.S_IFMT) == Linux.S_IFDIR;
}
