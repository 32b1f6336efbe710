using System.Buffers.Text;
using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Changes mode, owner and group of a path or of a tree. Runs on threads that may hang.</summary>
/// <param name="request">What to change.</param>
/// <param name="users">The sandbox's users.</param>
/// <param name="isCancelled">Asked between entries.</param>
internal sealed class FileAttributes(AttributesRequest request, UserDatabase users, Func<bool> isCancelled)
{
    private const uint Unchanged = uint.MaxValue; // chown(2): leave it as it is
    private const int MaxDepth = 1_000;
    private const int EntriesBuffer = 8 * 1024;

    private readonly uint _uid = request.User is null ? Unchanged : users.Find(request.User).Uid;
    private readonly uint _gid = request.Group is null ? Unchanged : users.FindGroup(request.Group);

    /// <summary>Entries that were changed.</summary>
    internal int Count { get; private set; }

    /// <summary>Refuses a request that makes no sense.</summary>
    internal static void Validate(AttributesRequest request)
    {
        _ = GuestPath.Check(request.Path);
        if (request.Mode is < 0 or > 0xFFF)
        {
            GuestException.ThrowInvalid("mode: 0 to 4095 (07777)");
        }

        if (request.Mode is null && request.User is null && request.Group is null)
        {
            GuestException.ThrowInvalid("nothing to change: mode, user or group");
        }
    }

    /// <summary>Changes what was asked for.</summary>
    /// <returns>The path afterwards.</returns>
    internal FileEntry Change()
    {
        string path = GuestPath.Check(request.Path);
        int fd = GuestException.Check(
            GuestFile.Open(TrustedMounts.Anywhere(path), Linux.O_PATH | (request.FollowLink ? 0 : Linux.O_NOFOLLOW)), "open " + path);
        try
        {
            StatxBuffer stat = GuestFile.Stat(fd, path);
            uint type = stat.Mode & Linux.S_IFMT;
            if (type == Linux.S_IFLNK && request.Mode is not null)
            {
                throw GuestException.System($"chmod {path}: a symbolic link has no mode", Errno.EOPNOTSUPP);
            }

            if (type == Linux.S_IFDIR && request.Recursive)
            {
                ChangeBelow(fd, path, 0);
            }

            ChangeOne(fd, type, path);
            return GuestFile.DescribeFully(fd, path, users);
        }
        finally
        {
            _ = Libc.Close(fd);
        }
    }

    /// <summary>The path, ending in NUL, under which /proc has one of this process's descriptors.</summary>
    internal static ReadOnlySpan<byte> SelfPath(int fd, Span<byte> buffer)
    {
        "self/fd/"u8.CopyTo(buffer);
        _ = Utf8Formatter.TryFormat(fd, buffer[8..], out int digits);
        buffer[8 + digits] = 0;
        return buffer[..(9 + digits)];
    }

    private void ChangeOne(int fd, uint type, string path)
    {
        if ((_uid != Unchanged || _gid != Unchanged) && Libc.FChOwnAt(fd, "\0"u8, _uid, _gid, Linux.AT_EMPTY_PATH) < 0)
        {
            throw GuestException.LastError("chown " + path);
        }

        if (request.Mode is { } mode && type != Linux.S_IFLNK)
        {
            // fchmod does not take O_PATH descriptors, and opening for real may act on a device or wait on a FIFO.
            Span<byte> self = stackalloc byte[32];
            _ = GuestException.Check(Libc.FChModAt(GuestMemory.ProcFd, SelfPath(fd, self), (uint)mode, 0), "chmod " + path);
        }

        Count++;
    }

    private void ChangeBelow(int directory, string path, int depth)
    {
        if (depth == MaxDepth)
        {
            throw GuestException.Coded(AgentErrorCodes.LimitReached, $"{path}: deeper than {MaxDepth} levels");
        }

        int reader = GuestException.Check(
            Libc.OpenAt(directory, "."u8, Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_NONBLOCK | Linux.O_CLOEXEC, 0),
            "open directory below " + path);
        try
        {
            byte[] buffer = new byte[EntriesBuffer];
            nint count;
            while ((count = Libc.GetDents64(reader, buffer, (nuint)buffer.Length)) > 0)
            {
                var entries = new DirectoryEntries(buffer.AsSpan(0, (int)count));
                while (entries.Next(out ReadOnlySpan<byte> name))
                {
                    ChangeEntry(reader, name, path, depth);
                }
            }

            _ = GuestException.Check((int)count, "read directory below " + path);
        }
        finally
        {
            _ = Libc.Close(reader);
        }
    }

    private void ChangeEntry(int directory, ReadOnlySpan<byte> name, string path, int depth)
    {
        if (isCancelled())
        {
            throw GuestException.Coded(AgentErrorCodes.Cancelled, "cancelled; part of the tree is changed");
        }

        int fd = Libc.OpenAt(directory, name, Linux.O_PATH | Linux.O_NOFOLLOW | Linux.O_CLOEXEC, 0);
        if (fd < 0)
        {
            _ = Marshal.GetLastPInvokeError() == Errno.ENOENT ? 0 : throw GuestException.LastError("open below " + path);
            return; // removed meanwhile
        }

        try
        {
            uint type = GuestFile.Stat(fd, path).Mode & Linux.S_IFMT;
            if (type == Linux.S_IFDIR)
            {
                ChangeBelow(fd, path, depth + 1);
            }

            ChangeOne(fd, type, path);
        }
        finally
        {
            _ = Libc.Close(fd);
        }
    }
}
