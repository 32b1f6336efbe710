using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Storage;

namespace OpenSandbox.Vmm.State;

/// <summary>Opening, checking and removing files of a state directory.</summary>
internal static class StateFiles
{
    /// <summary>Mode 0700.</summary>
    internal const UnixFileMode DirectoryMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <summary>Mode 0600.</summary>
    internal const int PrivateMode = 0x180;

    /// <summary>Mode 0400: what nobody is to write to again.</summary>
    internal const uint FrozenMode = 0x100;

    /// <summary>Opens a regular file that is ours and has one name; a link, pipe or device in its place is refused, not followed or waited for.</summary>
    /// <param name="path">The file.</param>
    /// <param name="access"><c>O_RDONLY</c> or <c>O_RDWR</c>.</param>
    /// <returns>The file, or <see langword="null"/> if there is none.</returns>
    /// <exception cref="StateFileException">It is something else.</exception>
    /// <exception cref="IOException">It cannot be opened.</exception>
    internal static SafeFileHandle? TryOpen(string path, int access)
    {
        while (true)
        {
            SafeFileHandle file = Libc.Open(path, access | Libc.O_NOFOLLOW | Libc.O_CLOEXEC | Libc.O_NONBLOCK, 0);
            if (file.IsInvalid)
            {
                return Refused(path, Marshal.GetLastPInvokeError());
            }

            // A commit has renamed another file over this one, or it has been removed, since it was opened: look again.
            if (Libc.Statx(file, out StatxBuffer status) == 0 && status.LinkCount == 0)
            {
                file.Dispose();
                continue;
            }

            return Checked(file, path);
        }
    }

    /// <summary>As <see cref="TryOpen"/>, below an open directory, whose path is only for messages.</summary>
    internal static SafeFileHandle? TryOpenAt(SafeFileHandle directory, string directoryPath, string name, int access)
    {
        string path = Path.Combine(directoryPath, name);
        SafeFileHandle file = Libc.OpenAt(directory, name, access | Libc.O_NOFOLLOW | Libc.O_CLOEXEC | Libc.O_NONBLOCK, 0);
        if (file.IsInvalid)
        {
            return Refused(path, Marshal.GetLastPInvokeError());
        }

        return Checked(file, path);
    }

    internal static SafeFileHandle OpenDirectory(string path)
    {
        SafeFileHandle directory = Libc.Open(path, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_NOFOLLOW | Libc.O_CLOEXEC, 0);
        return directory.IsInvalid ? throw Errno.LastError($"open directory {path}") : directory;
    }

    /// <summary>Makes a directory that only we may enter, durably, or checks that the one which is there is such a one.</summary>
    /// <exception cref="StateFileException">Something else is there, or somebody else's.</exception>
    internal static void EnsureDirectory(string path)
    {
        bool existed = Directory.Exists(path);
        Directory.CreateDirectory(path, DirectoryMode);
        using SafeFileHandle directory = OpenDirectory(path);
        if (Libc.Statx(directory, out StatxBuffer status) != 0)
        {
            throw Errno.LastError($"statx {path}");
        }

        if (status.Uid != Libc.GetEffectiveUserId())
        {
            throw new StateFileException(
                path, $"it belongs to uid {status.Uid}", $"Give it to uid {Libc.GetEffectiveUserId()}, which this process runs under, or use another");
        }

        if ((status.Mode & 0x3F) != 0 && Libc.FChMod(directory, 0x1C0) != 0)
        {
            throw Errno.LastError($"fchmod {path}");
        }

        if (!existed)
        {
            DurableFile.SyncDirectory(Path.GetDirectoryName(path)!);
        }
    }

    /// <summary>Gives a finished staging directory its name, durably. If that fails, it is a staging directory again.</summary>
    /// <exception cref="StateConflictException">There is something of that name.</exception>
    internal static void Publish(string staging, string final)
    {
        try
        {
            DurableFile.PublishDirectory(staging, final);
        }
        catch (IOException taken) when (taken.HResult is Errno.EEXIST or Errno.ENOTEMPTY or Errno.ENOTDIR)
        {
            throw new StateConflictException(final, "it is there already");
        }
    }

    /// <summary>
    /// Removes a directory of state: durably renames it to what the sweeper recognises, then removes what is in it. A crash leaves it whole, or
    /// as something to sweep.
    /// </summary>
    /// <returns>What kept the rest from being removed, which the sweeper does then; <see langword="null"/>: nothing is left.</returns>
    /// <exception cref="StateNotFoundException">It is not there.</exception>
    /// <exception cref="IOException">It could not be removed and is still there.</exception>
    internal static IOException? Remove(string path, string what)
    {
        string tombstone = DurableFile.TemporaryName(path);
        Fault.Point(FaultPoints.RemoveBefore);
        if (Libc.Rename(path, tombstone) != 0)
        {
            throw Marshal.GetLastPInvokeError() == Errno.ENOENT ? new StateNotFoundException(path, what) : Errno.LastError($"rename {path}");
        }

        try
        {
            Fault.Point(FaultPoints.RemoveRenamed);
            DurableFile.SyncDirectory(Path.GetDirectoryName(path)!);
        }
        catch (Exception failure)
        {
            if (Libc.Rename(tombstone, path) != 0)
            {
                throw new StateUncertainException(path, failure);
            }

            throw;
        }

        Fault.Point(FaultPoints.RemoveSynced);
        try
        {
            RemoveTree(tombstone);
            return null;
        }
        catch (Exception left) when (left is IOException or UnauthorizedAccessException)
        {
            return left as IOException ?? new IOException(left.Message, left);
        }
    }

    /// <summary>Removes a staging directory or tombstone. Links in it are removed and not followed; what vanishes meanwhile is no error.</summary>
    internal static void RemoveTree(string directory)
    {
        try
        {
            foreach (FileSystemInfo entry in new DirectoryInfo(directory).EnumerateFileSystemInfos())
            {
                if (entry is DirectoryInfo && entry.LinkTarget is null)
                {
                    RemoveTree(entry.FullName);
                }
                else
                {
                    entry.Delete();
                }

                Fault.Point(FaultPoints.RemoveFile);
            }

            Directory.Delete(directory);
        }
        catch (Exception gone) when (gone is DirectoryNotFoundException or FileNotFoundException)
        {
            // Somebody else removes it too.
        }
    }

    private static SafeFileHandle? Refused(string path, int errno) => errno switch
    {
        Errno.ENOENT => null,
        Errno.ELOOP => throw NotOurs(path, "it is a symbolic link"),
        _ => throw new IOException($"open {path}: {Errno.Describe(errno)}", errno),
    };

    private static SafeFileHandle Checked(SafeFileHandle file, string path)
    {
        try
        {
            if (Libc.Statx(file, out StatxBuffer status) != 0)
            {
                throw Errno.LastError($"statx {path}");
            }

            if ((status.Mode & Libc.S_IFMT) != Libc.S_IFREG)
            {
                throw NotOurs(path, "it is not a regular file");
            }

            if (status.LinkCount != 1)
            {
                throw NotOurs(path, $"it has {status.LinkCount} names, so that it could be written to under another one");
            }

            if (status.Uid != Libc.GetEffectiveUserId())
            {
                throw NotOurs(path, $"it belongs to uid {status.Uid}, not to {Libc.GetEffectiveUserId()}, which this process runs under");
            }

            if ((status.Mode & 0x12) != 0)
            {
                throw NotOurs(path, "others than its owner may write to it");
            }

            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static StateFileException NotOurs(string path, string problem) =>
        new(path, problem, "It is not used. Find out who put it there; this library makes files that only their owner can write to");
}
