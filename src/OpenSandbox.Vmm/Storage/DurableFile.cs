using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Storage;

/// <summary>
/// Writes that are on disk when they return: temporary name, fsync, rename, fsync of the directory, all through libc and checked. After a
/// failed fsync the file counts as lost and is removed; fsync is never tried again on it.
/// </summary>
internal static class DurableFile
{
    /// <summary>Ending of every name that is not yet, or no longer, valid.</summary>
    internal const string TemporaryEnding = ".tmp";

    /// <summary>Replaces a file as a whole: after a crash at any point it has either its old or its new content.</summary>
    /// <exception cref="IOException">A step failed; the old content, or none, is in place, or the new one without being durable.</exception>
    internal static void Replace(string path, ReadOnlySpan<byte> content)
    {
        Rename(WriteTemporary(path, content), path);
        Fault.Point(FaultPoints.ReplaceRenamed);
        SyncDirectory(Path.GetDirectoryName(path)!);
    }

    /// <summary>Replaces a file as a whole, and puts the old content back where the new one is visible but could not be made durable.</summary>
    /// <param name="path">The file.</param>
    /// <param name="content">The new content.</param>
    /// <param name="before">The old content; <see langword="null"/>: there is no file.</param>
    /// <exception cref="IOException">A step failed; the old content is what everybody sees.</exception>
    /// <exception cref="StateUncertainException">A step failed and could not be undone; the new content is what everybody sees.</exception>
    internal static void ReplaceOrUndo(string path, ReadOnlySpan<byte> content, byte[]? before)
    {
        string directory = Path.GetDirectoryName(path)!;
        Rename(WriteTemporary(path, content), path);
        try
        {
            Fault.Point(FaultPoints.ReplaceRenamed);
            SyncDirectory(directory);
        }
        catch (Exception failure)
        {
            try
            {
                Fault.Point(FaultPoints.ReplaceUndo);
                if (before is null)
                {
                    File.Delete(path);
                }
                else
                {
                    Rename(WriteTemporary(path, before), path);
                }
            }
            catch (Exception stuck)
            {
                throw new StateUncertainException(path, new AggregateException(failure.Message, failure, stuck));
            }

            // A new descriptor: not the fsync that failed once more, but one for the name that was just put back.
            SyncDirectory(directory);
            throw;
        }
    }

    /// <summary>Makes a finished staging directory, whose files are already synced, visible under its name, or leaves it what it was.</summary>
    /// <exception cref="IOException">A step failed, or there is something of that name; the staging directory is as before.</exception>
    /// <exception cref="StateUncertainException">A step failed and could not be undone; the directory has its name.</exception>
    internal static void PublishDirectory(string staging, string final)
    {
        SyncDirectory(staging);
        Fault.Point(FaultPoints.PublishBefore);
        if (Libc.Rename(staging, final) != 0)
        {
            throw Errno.LastError($"rename {staging} to {final}");
        }

        try
        {
            Fault.Point(FaultPoints.PublishRenamed);
            SyncDirectory(Path.GetDirectoryName(final)!);
        }
        catch (Exception failure)
        {
            if (Libc.Rename(final, staging) != 0)
            {
                throw new StateUncertainException(final, failure);
            }

            throw;
        }
    }

    /// <summary>A name beside <paramref name="path"/> that nobody else uses; sweeping recognises it by its ending.</summary>
    internal static string TemporaryName(string path) => $"{path}.{Guid.NewGuid():N}{TemporaryEnding}";

    internal static void Sync(SafeFileHandle file, string name)
    {
        Fault.Point(FaultPoints.SyncFile);
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

        Fault.Point(FaultPoints.SyncDirectory);
        if (Libc.FSync(directory) != 0)
        {
            throw Errno.LastError($"fsync {path}");
        }
    }

    private static void Rename(string temporary, string path)
    {
        if (Libc.Rename(temporary, path) != 0)
        {
            IOException failure = Errno.LastError($"rename {temporary} to {path}");
            File.Delete(temporary);
            throw failure;
        }
    }

    private static string WriteTemporary(string path, ReadOnlySpan<byte> content)
    {
        string temporary = TemporaryName(path);
        try
        {
            using SafeFileHandle file = Libc.Open(
                temporary, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_EXCL | Libc.O_NOFOLLOW | Libc.O_CLOEXEC, 0x180);
            if (file.IsInvalid)
            {
                throw Errno.LastError($"create {temporary}");
            }

            RandomAccess.Write(file, content, 0);
            Fault.Point(FaultPoints.ReplaceWritten);
            Sync(file, temporary);
            Fault.Point(FaultPoints.ReplaceSynced);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        return temporary;
    }
}
