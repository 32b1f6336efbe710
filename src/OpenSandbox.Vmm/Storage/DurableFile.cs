using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Storage;

/// <summary>
/// Writes that are on disk when they return: temporary name, fsync, rename, fsync of the directory, all through libc and checked. After a
/// failed fsync the file counts as lost and is removed; fsync is never tried again on it.
/// </summary>
internal static class DurableFile
{
    /// <summary>Replaces a file as a whole: after a crash at any point it has either its old or its new content.</summary>
    /// <exception cref="IOException">A step failed; the old content, or none, is in place.</exception>
    internal static void Replace(string path, ReadOnlySpan<byte> content)
    {
        string temporary = TemporaryName(path);
        try
        {
            using (SafeFileHandle file = File.OpenHandle(
                temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, FileOptions.None, preallocationSize: 0))
            {
                File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
                RandomAccess.Write(file, content, 0);
                Sync(file, temporary);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        SyncDirectory(Path.GetDirectoryName(path)!);
    }

    /// <summary>Makes a finished staging directory, whose files are already synced, visible under its name.</summary>
    internal static void PublishDirectory(string staging, string final)
    {
        SyncDirectory(staging);
        Directory.Move(staging, final);
        SyncDirectory(Path.GetDirectoryName(final)!);
    }

    /// <summary>A name beside <paramref name="path"/> that nobody else uses; sweeping recognises it by its ending.</summary>
    internal static string TemporaryName(string path) => $"{path}.{Guid.NewGuid():N}{TemporaryEnding}";

    /// <summary>Ending of every name that is not yet, or no longer, valid.</summary>
    internal const string TemporaryEnding = ".tmp";

    internal static void Sync(SafeFileHandle file, string name)
    {
        if (Libc.FSync(file) != 0)
        {
            throw Errno.LastError($"fsync {name}");
        }
    }

    internal static void SyncDirectory(string path)
    {
        using SafeFileHandle directory = Libc.Open(path, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
        if (directory.IsInvalid)
        {
            throw Errno.LastError($"open directory {path}");
        }

        Sync(directory, path);
    }
}
