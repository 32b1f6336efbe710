using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Copying;

/// <summary>
/// A directory on this machine into which something from a guest is copied. Everything is done relative to the open directory, one name at
/// a time, and never through a symbolic link: whatever names a guest makes up, nothing is written elsewhere.
/// </summary>
internal sealed class HostDirectory : IDisposable
{
    private const int AtRemoveNothing = 0;
    private const uint OwnerOnlyDirectory = 0x1C0;
    private const uint OwnerOnlyFile = 0x180;
    private readonly SafeFileHandle _directory;

    private HostDirectory(SafeFileHandle directory, bool isNew)
    {
        _directory = directory;
        IsNew = isNew;
    }

    /// <summary>Whether it was made here. The permissions of one that was there before are its owner's business, not a guest's.</summary>
    internal bool IsNew { get; }

    private int Descriptor => (int)_directory.DangerousGetHandle();

    /// <summary>Opens a directory that the user has named; that it may be a symbolic link is the user's business.</summary>
    internal static HostDirectory Open(string path)
    {
        SafeFileHandle directory = Libc.Open(path, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
        return directory.IsInvalid ? throw Errno.LastError(path) : new HostDirectory(directory, isNew: false);
    }

    /// <summary>Whether a guest's name for something can be used: one name, and none of the two that lead elsewhere.</summary>
    internal static bool IsName(string name) =>
        name is not ("" or "." or "..") && !name.AsSpan().ContainsAny('/', '\0');

    /// <summary>Opens a directory in this one, making it if it is not there. Nobody else may enter one that is made.</summary>
    internal HostDirectory OpenOrMake(string name)
    {
        byte[] path = Terminate(name);
        bool made = Libc.MkDirAt(Descriptor, path, OwnerOnlyDirectory) == 0;
        if (!made && System.Runtime.InteropServices.Marshal.GetLastPInvokeError() != Errno.EEXIST)
        {
            throw Errno.LastError(name);
        }

        int opened = Libc.OpenAt(Descriptor, path, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_NOFOLLOW | Libc.O_CLOEXEC, 0);
        return opened < 0 ? throw Errno.LastError(name) : new HostDirectory(new SafeFileHandle(opened, ownsHandle: true), made);
    }

    /// <summary>Gives the directory its permissions, as far as the user's umask allows them.</summary>
    internal void SetMode(int mode)
    {
        if (Libc.FChMod(Descriptor, Permissions(mode)) != 0)
        {
            throw Errno.LastError("chmod");
        }
    }

    /// <summary>Makes or replaces a file, whole or not at all.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="mode">Its permission bits; it gets those that the user's umask allows.</param>
    /// <param name="write">Writes the content.</param>
    internal async Task WriteFileAsync(string name, int mode, Func<Stream, Task> write)
    {
        byte[] temporary = Terminate(TemporaryName());
        int opened = Libc.OpenAt(
            Descriptor, temporary, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_EXCL | Libc.O_NOFOLLOW | Libc.O_CLOEXEC, OwnerOnlyFile);
        if (opened < 0)
        {
            throw Errno.LastError(name);
        }

        bool placed = false;
        try
        {
            var stream = new FileStream(new SafeFileHandle(opened, ownsHandle: true), FileAccess.Write, bufferSize: 0);
            await using (stream.ConfigureAwait(false))
            {
                await write(stream).ConfigureAwait(false);
                if (Libc.FChMod(opened, Permissions(mode)) != 0)
                {
                    throw Errno.LastError(name);
                }
            }

            Place(temporary, name);
            placed = true;
        }
        finally
        {
            if (!placed)
            {
                _ = Libc.UnlinkAt(Descriptor, temporary, AtRemoveNothing);
            }
        }
    }

    /// <summary>Makes or replaces a symbolic link.</summary>
    internal void MakeLink(string name, string target)
    {
        byte[] temporary = Terminate(TemporaryName());
        if (Libc.SymLinkAt(Terminate(target), Descriptor, temporary) != 0)
        {
            throw Errno.LastError(name);
        }

        try
        {
            Place(temporary, name);
        }
        catch (IOException)
        {
            _ = Libc.UnlinkAt(Descriptor, temporary, AtRemoveNothing);
            throw;
        }
    }

    public void Dispose() => _directory.Dispose();

    /// <summary>
    /// Without set-user-id and set-group-id: a file that a guest has made must not run with the rights of whoever copied it out. Without what
    /// the umask takes away: a guest does not decide who else on this machine may read or change what was copied.
    /// </summary>
    private static uint Permissions(int mode) => (uint)mode & 0x1FF & ~FileModeMask.OfThisProcess;

    private static string TemporaryName() => $".opensandbox-{Guid.NewGuid():N}";

    private static byte[] Terminate(string text) => [.. Encoding.UTF8.GetBytes(text), 0];

    private void Place(byte[] temporary, string name)
    {
        if (Libc.RenameAt(Descriptor, temporary, Descriptor, Terminate(name)) != 0)
        {
            throw Errno.LastError(name);
        }
    }
}
