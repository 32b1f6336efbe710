using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Makes directories. Runs on threads that may hang.</summary>
internal static class DirectoryMaker
{
    /// <summary>Permission bits of directories where none are asked for.</summary>
    internal const uint DefaultMode = 0x1ED; // 0755

    /// <summary>Serves a mkdir request.</summary>
    internal static FileEntry Make(FileRequest request, UserDatabase users)
    {
        if (request.Mode is < 0 or > 0xFFF)
        {
            GuestException.ThrowInvalid("mode: 0 to 4095 (07777)");
        }

        string path = GuestPath.Check(request.Path);
        uint mode = request.Mode is { } asked ? (uint)asked : DefaultMode;
        (uint Uid, uint Gid) owner = users.FindOwner(request.User, request.Group);
        int fd;
        if (request.Recursive)
        {
            fd = MakeAll(path, mode, owner);
        }
        else
        {
            (string parentPath, string name) = GuestPath.Split(path);
            int parent = GuestException.Check(
                GuestFile.Open(TrustedMounts.Anywhere(parentPath), Linux.O_PATH | Linux.O_DIRECTORY), "open directory " + parentPath);
            try
            {
                fd = MakeOne(parent, name, path, mode, owner, mayExist: false);
            }
            finally
            {
                _ = Libc.Close(parent);
            }
        }

        try
        {
            return GuestFile.DescribeFully(fd, path, users);
        }
        finally
        {
            _ = Libc.Close(fd);
        }
    }

    /// <summary>Makes a directory with all its parents. Those that exist stay as they are.</summary>
    /// <returns>A descriptor of it (O_PATH).</returns>
    internal static int MakeAll(string path, uint mode, (uint Uid, uint Gid) owner)
    {
        int current = GuestException.Check(Libc.Open("/"u8, Linux.O_PATH | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0), "open /");
        string[] names = path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        for (int i = 0; i < names.Length; i++)
        {
            int parent = current;
            try
            {
                current = names[i] is "." or ".."
                    ? OpenDirectory(parent, names[i], path)
                    : MakeOne(parent, names[i], path, i == names.Length - 1 ? mode : DefaultMode, owner, mayExist: true);
            }
            finally
            {
                _ = Libc.Close(parent);
            }
        }

        return current;
    }

    private static int MakeOne(int parent, string name, string path, uint mode, (uint Uid, uint Gid) owner, bool mayExist)
    {
        byte[] bytes = CString.From(name);
        bool made = Libc.MkDirAt(parent, bytes, mode) == 0;
        if (!made && (!mayExist || Marshal.GetLastPInvokeError() != Errno.EEXIST))
        {
            throw GuestException.LastError("mkdir " + path);
        }

        int fd = OpenDirectory(parent, name, path);
        if (made && (owner.Uid != 0 || owner.Gid != 0)
            && Libc.FChOwnAt(fd, "\0"u8, owner.Uid, owner.Gid, Linux.AT_EMPTY_PATH) < 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            _ = Libc.Close(fd);
            throw GuestException.System("chown " + path, errno);
        }

        return fd;
    }

    private static int OpenDirectory(int parent, string name, string path) => GuestException.Check(
        Libc.OpenAt(parent, CString.From(name), Linux.O_PATH | Linux.O_DIRECTORY | Linux.O_CLOEXEC, 0), "open directory " + path);
}
