using System.Globalization;
using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Moves and copies files and trees. What is moved within a file system is renamed. Everything else is copied under a temporary name beside
/// the target and renamed to it, so that the target is there whole or not at all. Runs on threads that may hang.
/// </summary>
/// <param name="request">From where to where.</param>
/// <param name="users">The sandbox's users.</param>
/// <param name="isCancelled">Asked while copying.</param>
internal sealed class FileMover(MoveRequest request, UserDatabase users, Func<bool> isCancelled)
{
    private readonly string _from = GuestPath.Check(request.From);
    private readonly string _to = GuestPath.Check(request.To);

    /// <summary>Bytes that had to be copied.</summary>
    internal long Bytes { get; private set; }

    private uint Flags => request.Overwrite ? 0 : Linux.RENAME_NOREPLACE;

    /// <summary>Refuses a request that makes no sense.</summary>
    internal static void Validate(MoveRequest request)
    {
        _ = GuestPath.Split(GuestPath.Check(request.From));
        _ = GuestPath.Split(GuestPath.Check(request.To));
    }

    /// <summary>Moves.</summary>
    /// <returns>The target.</returns>
    internal FileEntry Move() => WithParents((from, name, to, newName) =>
    {
        if (Libc.RenameAt2(from, name, to, newName, Flags) == 0)
        {
            return;
        }

        int errno = Marshal.GetLastPInvokeError();
        if (errno != Errno.EXDEV)
        {
            throw GuestException.System($"move {_from} to {_to}", errno);
        }

        RequireNoMountPoint(from, name);
        CopyThenRename(from, name, to, newName, durable: true);

        // No way back from here. The path may lead elsewhere by now; the open directory is still the one that was copied from.
        TreeRemover.RemoveEntry(from, name, _from);
    });

    /// <summary>Copies.</summary>
    /// <returns>The target.</returns>
    internal FileEntry Copy() =>
        WithParents((from, name, to, newName) => CopyThenRename(from, name, to, newName, durable: false)); // as a write is

    private delegate void Step(int from, byte[] name, int to, byte[] newName);

    private FileEntry WithParents(Step step)
    {
        (string fromDirectory, string name) = GuestPath.Split(_from);
        (string toDirectory, string newName) = GuestPath.Split(_to);
        int from = GuestException.Check(
            GuestFile.Open(TrustedMounts.Anywhere(fromDirectory), Linux.O_PATH | Linux.O_DIRECTORY), "open directory " + fromDirectory);
        int to = -1;
        try
        {
            byte[] source = CString.From(name);
            if (Libc.Statx(from, source, Linux.AT_SYMLINK_NOFOLLOW, Linux.STATX_BASIC_STATS, out _) < 0)
            {
                throw GuestException.LastError("stat " + _from); // before parents are made for nothing
            }

            to = GuestFile.Open(TrustedMounts.Anywhere(toDirectory), Linux.O_PATH | Linux.O_DIRECTORY);
            if (to < 0 && request.Parents && Marshal.GetLastPInvokeError() == Errno.ENOENT)
            {
                to = DirectoryMaker.MakeAll(toDirectory, DirectoryMaker.DefaultMode, users.FindOwner(null, null));
            }

            _ = GuestException.Check(to, "open directory " + toDirectory);
            byte[] target = CString.From(newName);
            step(from, source, to, target);
            return Describe(to, target);
        }
        finally
        {
            _ = Libc.Close(from);
            _ = to < 0 ? 0 : Libc.Close(to);
        }
    }

    private FileEntry Describe(int directory, byte[] name)
    {
        int fd = GuestException.Check(Libc.OpenAt(directory, name, Linux.O_PATH | Linux.O_NOFOLLOW | Linux.O_CLOEXEC, 0), "open " + _to);
        try
        {
            return GuestFile.DescribeFully(fd, _to, users);
        }
        finally
        {
            _ = Libc.Close(fd);
        }
    }

    /// <summary>What is mounted cannot be removed: better to hear it before everything is copied.</summary>
    private void RequireNoMountPoint(int directory, byte[] name)
    {
        const uint mask = Linux.STATX_BASIC_STATS | Linux.STATX_MNT_ID;
        if (Libc.Statx(directory, name, Linux.AT_SYMLINK_NOFOLLOW, mask, out StatxBuffer source) < 0
            || Libc.Statx(directory, "\0"u8, Linux.AT_EMPTY_PATH, mask, out StatxBuffer parent) < 0)
        {
            throw GuestException.LastError("stat " + _from);
        }

        if (source.MountId != parent.MountId)
        {
            throw GuestException.System($"move {_from}: a file system is mounted there", Errno.EBUSY);
        }
    }

    private void CopyThenRename(int from, byte[] name, int to, byte[] newName, bool durable)
    {
        RequireRoom(from, name, to, newName);
        Span<byte> random = stackalloc byte[8];
        _ = Libc.GetRandom(random, (nuint)random.Length, 0);
        byte[] temporary = CString.From(
            string.Create(CultureInfo.InvariantCulture, $".opensandbox-{BitConverter.ToUInt64(random):x16}.tmp"));
        var copier = new TreeCopier(isCancelled);
        bool done = false;
        try
        {
            copier.Copy(from, name, to, temporary, _from);
            Bytes = copier.Bytes;
            if (durable)
            {
                MakeDurable(to);
            }

            _ = GuestException.Check(Libc.RenameAt2(to, temporary, to, newName, Flags), $"rename to {_to}");
            done = true;
        }
        finally
        {
            if (!done)
            {
                RemoveCopy(to, temporary);
            }
        }
    }

    /// <summary>Refuses at once what the last step would refuse, and a copy into itself, which would have no end.</summary>
    private void RequireRoom(int from, byte[] name, int to, byte[] newName)
    {
        if (!request.Overwrite && Libc.Statx(to, newName, Linux.AT_SYMLINK_NOFOLLOW, Linux.STATX_BASIC_STATS, out _) == 0)
        {
            throw GuestException.System(_to, Errno.EEXIST);
        }

        if (Libc.Statx(from, name, Linux.AT_SYMLINK_NOFOLLOW, Linux.STATX_BASIC_STATS, out StatxBuffer source) < 0)
        {
            throw GuestException.LastError("stat " + _from);
        }

        if ((source.Mode & Linux.S_IFMT) == Linux.S_IFDIR && TreeCopier.IsWithin(to, source))
        {
            throw GuestException.System($"{_to} lies in {_from}", Errno.EINVAL);
        }
    }

    /// <summary>The source is going to be removed: until the copy is on its disk, both are needed.</summary>
    private void MakeDurable(int directory)
    {
        int fd = GuestException.Check(
            Libc.OpenAt(directory, "."u8, Linux.O_RDONLY | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0), "open directory of " + _to);
        int result = Libc.SyncFs(fd);
        int errno = Marshal.GetLastPInvokeError();
        _ = Libc.Close(fd);
        if (result < 0)
        {
            throw GuestException.System("sync " + _to, errno);
        }
    }

    private void RemoveCopy(int directory, byte[] temporary)
    {
        try
        {
            TreeRemover.RemoveEntry(directory, temporary, "the incomplete copy beside " + _to, ignoreMissing: true);
        }
        catch (GuestException exception)
        {
            // The failure that led here is the one to report; what is left behind is named in the guest's log.
            KernelConsole.WriteLine("opensandbox-agent: " + exception.Message);
        }
    }
}
