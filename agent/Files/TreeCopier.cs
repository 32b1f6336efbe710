using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Copies a file or a tree with modes, owners, times and symbolic links, and with the holes of sparse files. Hard links become files of
/// their own, extended attributes stay behind. Never follows a symbolic link, nor leaves the file system of the source. Runs on threads
/// that may hang.
/// </summary>
/// <param name="isCancelled">Asked between entries and between pieces of a file.</param>
internal sealed class TreeCopier(Func<bool> isCancelled)
{
    private const int MaxDepth = 1_000; // two open descriptors a level
    private const int PieceBytes = 256 * 1024;
    private const int EntriesBuffer = 8 * 1024;

    private readonly byte[] _piece = new byte[PieceBytes];
    private ulong _mount;

    /// <summary>Bytes of content that were copied.</summary>
    internal long Bytes { get; private set; }

    /// <summary>Copies one entry of a directory, whatever it is.</summary>
    /// <param name="from">Directory of the source.</param>
    /// <param name="name">Its name, ending in NUL.</param>
    /// <param name="to">Directory of the copy.</param>
    /// <param name="newName">The copy's name, ending in NUL; must not exist.</param>
    /// <param name="path">The source's path, for messages.</param>
    internal void Copy(int from, ReadOnlySpan<byte> name, int to, ReadOnlySpan<byte> newName, string path)
    {
        _mount = Describe(from, name, path).MountId;
        CopyEntry(from, name, to, newName, path, 0);
    }

    /// <summary>Whether a directory is another one or lies in it.</summary>
    /// <param name="directory">The directory that may be inside; not closed.</param>
    /// <param name="outer">Status of the other.</param>
    internal static bool IsWithin(int directory, in StatxBuffer outer)
    {
        int current = GuestException.Check(
            Libc.OpenAt(directory, "."u8, Linux.O_PATH | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0), "open directory");
        try
        {
            for (int level = 0; level < 4096; level++)
            {
                StatxBuffer stat = GuestFile.Stat(current, "directory");
                if (IsSame(stat, outer))
                {
                    return true;
                }

                int parent = GuestException.Check(
                    Libc.OpenAt(current, ".."u8, Linux.O_PATH | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0), "open directory ..");
                _ = Libc.Close(current);
                current = parent;
                if (IsSame(GuestFile.Stat(current, "directory"), stat))
                {
                    return false; // the root is its own parent
                }
            }

            return true; // deeper than any path: take no chances
        }
        finally
        {
            _ = Libc.Close(current);
        }
    }

    private static bool IsSame(in StatxBuffer one, in StatxBuffer other) =>
        one.Inode == other.Inode && one.DeviceMajor == other.DeviceMajor && one.DeviceMinor == other.DeviceMinor;

    private void CopyEntry(int from, ReadOnlySpan<byte> name, int to, ReadOnlySpan<byte> newName, string path, int depth)
    {
        if (isCancelled())
        {
            throw GuestException.Coded(AgentErrorCodes.Cancelled, "cancelled");
        }

        StatxBuffer stat = Describe(from, name, path);
        uint type = stat.Mode & Linux.S_IFMT;
        switch (type)
        {
            case Linux.S_IFDIR:
                CopyDirectory(from, name, to, newName, path, depth, stat);
                break;
            case Linux.S_IFREG:
                CopyFile(from, name, to, newName, path, stat);
                break;
            case Linux.S_IFLNK:
                Span<byte> target = stackalloc byte[4097];
                nint length = Libc.ReadLinkAt(from, name, target, 4096);
                _ = GuestException.Check((int)length, "read link below " + path);
                target[(int)length] = 0;
                _ = GuestException.Check(Libc.SymLinkAt(target[..((int)length + 1)], to, newName), "make link below " + path);
                break;
            default:
                ulong device = Device(stat.SpecialMajor, stat.SpecialMinor);
                _ = GuestException.Check(Libc.MkNodAt(to, newName, stat.Mode, device), "make special file below " + path);
                break;
        }

        if (type is not (Linux.S_IFDIR or Linux.S_IFREG))
        {
            _ = GuestException.Check(
                Libc.FChOwnAt(to, newName, stat.Uid, stat.Gid, Linux.AT_SYMLINK_NOFOLLOW), "chown below " + path);
            SetTimes(to, newName, stat, path);
        }
    }

    private StatxBuffer Describe(int directory, ReadOnlySpan<byte> name, string path)
    {
        if (Libc.Statx(
            directory, name, Linux.AT_SYMLINK_NOFOLLOW, Linux.STATX_BASIC_STATS | Linux.STATX_MNT_ID, out StatxBuffer stat) < 0)
        {
            throw GuestException.LastError("stat " + path);
        }

        return _mount == 0 || stat.MountId == _mount
            ? stat
            : throw GuestException.Coded(AgentErrorCodes.System, $"{path}: another file system is mounted below it", Errno.EBUSY);
    }

    private void CopyDirectory(
        int from, ReadOnlySpan<byte> name, int to, ReadOnlySpan<byte> newName, string path, int depth, in StatxBuffer stat)
    {
        if (depth == MaxDepth)
        {
            throw GuestException.Coded(AgentErrorCodes.LimitReached, $"{path}: deeper than {MaxDepth} levels");
        }

        _ = GuestException.Check(Libc.MkDirAt(to, newName, 0x1C0), "mkdir below " + path); // 0700 until it is complete
        const int flags = Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_NOFOLLOW | Linux.O_NONBLOCK | Linux.O_CLOEXEC;
        int source = GuestException.Check(Libc.OpenAt(from, name, flags, 0), "open directory below " + path);
        int copy = -1;
        try
        {
            copy = GuestException.Check(Libc.OpenAt(to, newName, flags, 0), "open directory below " + path);
            byte[] buffer = new byte[EntriesBuffer];
            nint count;
            while ((count = Libc.GetDents64(source, buffer, (nuint)buffer.Length)) > 0)
            {
                var entries = new DirectoryEntries(buffer.AsSpan(0, (int)count));
                while (entries.Next(out ReadOnlySpan<byte> entry))
                {
                    CopyEntry(source, entry, copy, entry, path, depth + 1);
                }
            }

            _ = GuestException.Check((int)count, "read directory below " + path);
            Finish(copy, stat, path);
        }
        finally
        {
            _ = Libc.Close(source);
            _ = copy < 0 ? 0 : Libc.Close(copy);
        }
    }

    private void CopyFile(int from, ReadOnlySpan<byte> name, int to, ReadOnlySpan<byte> newName, string path, in StatxBuffer stat)
    {
        int source = GuestException.Check(
            Libc.OpenAt(from, name, Linux.O_RDONLY | Linux.O_NOFOLLOW | Linux.O_NONBLOCK | Linux.O_CLOEXEC, 0), "open below " + path);
        int copy = -1;
        try
        {
            copy = GuestException.Check(
                Libc.OpenAt(to, newName, Linux.O_WRONLY | Linux.O_CREAT | Linux.O_EXCL | Linux.O_NOFOLLOW | Linux.O_CLOEXEC, 0x180), // 0600
                "create below " + path);
            CopyContent(source, copy, path);
            Finish(copy, stat, path);
            int closed = Libc.Close(copy);
            copy = -1;
            _ = GuestException.Check(closed, "close copy of " + path);
        }
        finally
        {
            _ = Libc.Close(source);
            _ = copy < 0 ? 0 : Libc.Close(copy);
        }
    }

    /// <summary>Copies what is no hole; at the end the file is as long as the source was.</summary>
    private void CopyContent(int source, int copy, string path)
    {
        long at = 0;
        while (true)
        {
            long data = Libc.LSeek(source, at, Linux.SEEK_DATA);
            if (data < 0)
            {
                switch (Marshal.GetLastPInvokeError())
                {
                    case Linux.ENXIO:
                        break; // a hole to the end, or the end
                    case Errno.EINVAL when at == 0:
                        at = CopyPieces(source, copy, long.MaxValue, path); // a file system that knows nothing of holes
                        break;
                    default:
                        throw GuestException.LastError("seek in " + path);
                }

                break;
            }

            long hole = Libc.LSeek(source, data, Linux.SEEK_HOLE);
            _ = hole < 0 || Libc.LSeek(source, data, Linux.SEEK_SET) < 0 || Libc.LSeek(copy, data, Linux.SEEK_SET) < 0
                ? throw GuestException.LastError("seek in " + path)
                : 0;
            at = data + CopyPieces(source, copy, hole - data, path);
            if (at < hole)
            {
                break; // it became shorter meanwhile
            }
        }

        long end = Libc.LSeek(source, 0, 2); // SEEK_END
        _ = GuestException.Check(Libc.FTruncate(copy, Math.Max(end, at)), "set length of copy of " + path);
    }

    private long CopyPieces(int source, int copy, long length, string path)
    {
        long done = 0;
        while (done < length)
        {
            if (isCancelled())
            {
                throw GuestException.Coded(AgentErrorCodes.Cancelled, "cancelled");
            }

            nint n = Libc.Read(source, _piece, (nuint)Math.Min(length - done, _piece.Length));
            if (n <= 0)
            {
                _ = GuestException.Check((int)n, "read " + path);
                break;
            }

            for (int written = 0; written < n;)
            {
                nint w = Libc.Write(copy, _piece.AsSpan(written, (int)n - written), (nuint)(n - written));
                written += GuestException.Check((int)w, "write copy of " + path);
            }

            done += n;
            Bytes += n;
        }

        return done;
    }

    /// <summary>Owner, then mode (a change of owner clears set-id bits), then times.</summary>
    private static void Finish(int fd, in StatxBuffer stat, string path)
    {
        _ = GuestException.Check(Libc.FChOwn(fd, stat.Uid, stat.Gid), "chown copy of " + path);
        _ = GuestException.Check(Libc.FChMod(fd, (uint)(stat.Mode & 0xFFF)), "chmod copy of " + path);
        Span<byte> self = stackalloc byte[32];
        SetTimes(GuestMemory.ProcFd, FileAttributes.SelfPath(fd, self), stat, path, flags: 0);
    }

    private static void SetTimes(int directory, ReadOnlySpan<byte> name, in StatxBuffer stat, string path, int flags = Linux.AT_SYMLINK_NOFOLLOW)
    {
        ReadOnlySpan<TimeSpec> times =
        [
            new TimeSpec { Seconds = stat.AccessedSeconds, Nanoseconds = stat.AccessedNanoseconds },
            new TimeSpec { Seconds = stat.ModifiedSeconds, Nanoseconds = stat.ModifiedNanoseconds },
        ];
        _ = GuestException.Check(Libc.UTimeNsAt(directory, name, times, flags), "set times of copy of " + path);
    }

    /// <summary>A device number as mknod(2) takes it (glibc's makedev).</summary>
    private static ulong Device(ulong major, ulong minor) =>
        ((major & 0xFFFFF000) << 32) | ((major & 0xFFF) << 8) | ((minor & 0xFFFFFF00) << 12) | (minor & 0xFF);
}
