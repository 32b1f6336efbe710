using System.Globalization;
using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// A file that is being written under a temporary name in its directory, and appears under its own name whole or not at all. A symbolic
/// link at the name is followed.
/// </summary>
internal sealed class FileReplacement : IDisposable
{
    private const uint DefaultMode = 0x1A4; // 0644
    private const int MaxLinks = 16;

    // Writing to blocks that were allocated ahead takes two thirds of the time: the kernel need not reserve them page by page.
    private const long AllocateFrom = 512 * 1024;
    private const long SmallestAllocation = 1024 * 1024;
    private const long LargestAllocation = 16 * 1024 * 1024;

    private readonly int _directory;
    private readonly byte[] _name;
    private readonly byte[] _temporary;
    private readonly string _path;
    private int _fd = -1;
    private long _written;
    private long _allocated;
    private long _allocateAt = AllocateFrom;
    private bool _disposed;
    private bool _committed;

    private FileReplacement(int directory, string name, string path)
    {
        _directory = directory;
        _name = CString.From(name);
        _path = path;
        Span<byte> random = stackalloc byte[8];
        _ = Libc.GetRandom(random, (nuint)random.Length, 0);
        ulong number = BitConverter.ToUInt64(random);
        _temporary = CString.From(string.Create(CultureInfo.InvariantCulture, $".opensandbox-{number:x16}.tmp"));
    }

    /// <summary>Begins to write a file.</summary>
    /// <param name="request">Path, mode, owner, parents.</param>
    /// <param name="users">The sandbox's users.</param>
    /// <param name="resolve">How a path becomes a <see cref="PathBase"/>.</param>
    /// <param name="mayHang">Whether the caller can afford to leave trusted mounts; if not, <see langword="null"/> says that it must.</param>
    /// <returns>The replacement, or <see langword="null"/>: try again from a thread that may hang.</returns>
    /// <exception cref="GuestException">It cannot be written.</exception>
    internal static FileReplacement? Begin(FileRequest request, UserDatabase users, Func<string, PathBase> resolve, bool mayHang)
    {
        if (request.Mode is < 0 or > 0xFFF)
        {
            GuestException.ThrowInvalid("mode: 0 to 4095 (07777)");
        }

        string path = GuestPath.Check(request.Path);
        for (int links = 0; ; links++)
        {
            (string directoryPath, string name) = GuestPath.Split(path);
            int directory = GuestFile.Open(resolve(directoryPath), Linux.O_PATH | Linux.O_DIRECTORY);
            if (directory < 0 && !mayHang && (GuestFile.LeftTheMount() || request.Recursive))
            {
                return null;
            }

            if (directory < 0 && request.Recursive && Marshal.GetLastPInvokeError() == Errno.ENOENT)
            {
                directory = DirectoryMaker.MakeAll(directoryPath, DirectoryMaker.DefaultMode, users.FindOwner(request.User, request.Group));
            }

            if (directory < 0)
            {
                throw GuestException.LastError("open directory " + directoryPath);
            }

            var replacement = new FileReplacement(directory, name, path);
            try
            {
                bool exists = replacement.Examine(out StatxBuffer old);
                if (!exists || (old.Mode & Linux.S_IFMT) != Linux.S_IFLNK)
                {
                    replacement.Create(request, users, exists, old);
                    FileReplacement result = replacement;
                    replacement = null;
                    return result;
                }

                if (!mayHang)
                {
                    return null; // links are rare: the other way follows them
                }

                path = FollowLink(replacement, directoryPath, links);
            }
            finally
            {
                replacement?.Dispose();
            }
        }
    }

    /// <summary>Writes all of some bytes.</summary>
    internal void Write(ReadOnlySpan<byte> bytes)
    {
        if (_written + bytes.Length > _allocateAt)
        {
            AllocateAhead();
        }

        _written += bytes.Length;
        while (!bytes.IsEmpty)
        {
            nint n = Libc.Write(_fd, bytes, (nuint)bytes.Length);
            if (n > 0)
            {
                bytes = bytes[(int)n..];
            }
            else if (Marshal.GetLastPInvokeError() != Errno.EINTR)
            {
                throw GuestException.LastError("write " + _path);
            }
        }
    }

    /// <summary>Puts the file in its place.</summary>
    /// <returns>The file as it is now.</returns>
    internal FileEntry Commit()
    {
        if (_allocated > _written)
        {
            _ = GuestException.Check(Libc.FTruncate(_fd, _written), "truncate " + _path); // it was allocated longer than it became
        }

        StatxBuffer stat = GuestFile.Stat(_fd, _path);
        int closed = Libc.Close(_fd);
        _fd = -1;
        _ = GuestException.Check(closed, "close " + _path); // some file systems report a failed write only here
        _ = GuestException.Check(Libc.RenameAt(_directory, _temporary, _directory, _name), "rename to " + _path);
        _committed = true;
        return GuestFile.Entry(stat, _path, null);
    }

    /// <summary>Closes everything; what was not committed is removed.</summary>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        if (_fd >= 0)
        {
            _ = Libc.Close(_fd);
            _fd = -1;
        }

        if (!_committed)
        {
            _ = Libc.UnlinkAt(_directory, _temporary, 0); // mostly it does not exist: nothing was created yet
        }

        _ = Libc.Close(_directory);
    }

    /// <summary>
    /// Allocates blocks for a file that is becoming large, about as many as it has. Where that fails nothing is lost: then they come as they
    /// are needed, and a full disk is found by the write that does not fit. The file is as long as its blocks until <see cref="Commit"/>:
    /// with a size that grew write by write, each page would cost a change of the inode.
    /// </summary>
    private void AllocateAhead()
    {
        // Without a block device behind it (device number 0: tmpfs, FUSE) allocating would clear pages, or ask whom nobody asked.
        bool worthwhile = _allocated > 0 || GuestFile.Stat(_fd, _path).DeviceMajor != 0;
        long length = Math.Clamp(_written, SmallestAllocation, LargestAllocation);
        if (worthwhile && Libc.FAllocate(_fd, 0, _written, length) == 0)
        {
            _allocated = _allocateAt = _written + length;
        }
        else
        {
            _allocated = worthwhile ? _written + length : 0; // part of it may have been allocated
            _allocateAt = long.MaxValue;
        }
    }

    private static string FollowLink(FileReplacement at, string directoryPath, int links)
    {
        string? target = GuestFile.LinkTarget(at._directory, at._name);
        if (links == MaxLinks || string.IsNullOrEmpty(target))
        {
            throw GuestException.System(at._path, Errno.ELOOP);
        }

        return GuestPath.Check(target[0] == '/' ? target : directoryPath + "/" + target);
    }

    private bool Examine(out StatxBuffer old)
    {
        if (Libc.Statx(_directory, _name, Linux.AT_SYMLINK_NOFOLLOW, Linux.STATX_BASIC_STATS, out old) == 0)
        {
            return true;
        }

        return Marshal.GetLastPInvokeError() == Errno.ENOENT ? false : throw GuestException.LastError("stat " + _path);
    }

    private void Create(FileRequest request, UserDatabase users, bool exists, in StatxBuffer old)
    {
        if (exists)
        {
            GuestFile.RequireRegular(old, _path);
        }

        uint mode = request.Mode is { } asked ? (uint)asked : exists ? (uint)(old.Mode & 0xFFF) : DefaultMode;
        uint uid = old.Uid;
        uint gid = old.Gid;
        if (!exists || request.User is not null)
        {
            (uid, gid) = users.FindOwner(request.User, request.Group);
        }
        else if (request.Group is not null)
        {
            gid = users.FindGroup(request.Group);
        }

        _fd = GuestException.Check(
            Libc.OpenAt(_directory, _temporary, Linux.O_WRONLY | Linux.O_CREAT | Linux.O_EXCL | Linux.O_NOFOLLOW | Linux.O_CLOEXEC, mode),
            "create " + _path);
        if (uid != 0 || gid != 0)
        {
            _ = GuestException.Check(Libc.FChOwn(_fd, uid, gid), "chown " + _path);
            if ((mode & 0xC00) != 0)
            {
                _ = GuestException.Check(Libc.FChMod(_fd, mode), "chmod " + _path); // a change of owner clears set-id bits
            }
        }
    }
}
