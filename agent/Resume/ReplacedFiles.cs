using System.Runtime.InteropServices;
using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>
/// Replaces small files of one directory of a root file system that the sandbox's users have had in their hands. Never leaves that file system,
/// opens nothing but new and regular files, and follows no link in the last place, so that nothing there can make the caller wait. What
/// fails is logged. Dispose of it to make the replacements durable.
/// </summary>
internal sealed class ReplacedFiles : IDisposable
{
    private const string Suffix = ".opensandbox-new";
    private const ulong OwnFileSystem = Linux.RESOLVE_NO_XDEV | Linux.RESOLVE_NO_MAGICLINKS;

    private readonly string _path;
    private readonly int _directory;

    /// <summary>Opens the directory.</summary>
    internal ReplacedFiles(string path)
    {
        _path = path;
        _directory = GuestFile.Open(new PathBase(Linux.AT_FDCWD, CString.From(path), OwnFileSystem), Linux.O_RDONLY | Linux.O_DIRECTORY);
        if (_directory < 0)
        {
            Log("");
        }
    }

    /// <summary>Replaces or makes a file; it belongs to root.</summary>
    internal void Replace(string name, ReadOnlySpan<byte> content, uint mode)
    {
        if (_directory < 0)
        {
            return;
        }

        byte[] made = CString.From("." + name + Suffix);
        _ = Libc.UnlinkAt(_directory, made, 0); // one that a crash has left
        int fd = Libc.OpenAt(_directory, made, Linux.O_WRONLY | Linux.O_CREAT | Linux.O_EXCL | Linux.O_NOFOLLOW | Linux.O_CLOEXEC, mode);
        if (fd < 0)
        {
            Log(name);
            return;
        }

        bool written = Libc.Write(fd, content, (nuint)content.Length) == content.Length && Libc.FSync(fd) == 0
            && Libc.RenameAt(_directory, made, _directory, CString.From(name)) == 0;
        if (!written)
        {
            Log(name);
            _ = Libc.UnlinkAt(_directory, made, 0);
        }

        _ = Libc.Close(fd);
    }

    /// <summary>Reads a regular file of at most so many bytes; <see langword="null"/>: there is none.</summary>
    internal byte[]? TryRead(string name, int maxBytes)
    {
        if (_directory < 0)
        {
            return null;
        }

        int fd = GuestFile.Open(
            new PathBase(_directory, CString.From(name), OwnFileSystem), Linux.O_RDONLY | Linux.O_NOFOLLOW | Linux.O_NONBLOCK | Linux.O_NOCTTY);
        if (fd < 0)
        {
            return null;
        }

        try
        {
            if ((GuestFile.Stat(fd, name).Mode & Linux.S_IFMT) != Linux.S_IFREG)
            {
                return null;
            }

            byte[] content = new byte[maxBytes + 1];
            int length = 0;
            nint count;
            while (length < content.Length && (count = Libc.Read(fd, content.AsSpan(length), (nuint)(content.Length - length))) > 0)
            {
                length += (int)count;
            }

            return length > maxBytes ? null : content[..length];
        }
        finally
        {
            _ = Libc.Close(fd);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_directory < 0)
        {
            return;
        }

        if (Libc.FSync(_directory) < 0)
        {
            Log("");
        }

        _ = Libc.Close(_directory);
    }

    private void Log(string name) =>
        KernelConsole.WriteLine($"opensandbox-agent: {_path}/{name}: {Errno.Describe(Marshal.GetLastPInvokeError())}");
}
