using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Storage;

/// <summary>A lock between processes on this machine, exclusive or shared; the kernel drops it with its holder.</summary>
internal sealed class FileLock : IDisposable
{
    private readonly SafeFileHandle _file;

    private FileLock(SafeFileHandle file) => _file = file;

    /// <summary>The locked file.</summary>
    internal SafeFileHandle File => _file;

    /// <summary>Takes the lock if nobody holds one that excludes it.</summary>
    /// <returns>The lock, or <see langword="null"/>.</returns>
    /// <exception cref="IOException">The file cannot be opened or made; with ENOENT as <c>HResult</c> where its directory is missing.</exception>
    internal static FileLock? TryAcquire(string path, bool shared = false)
    {
        SafeFileHandle file = Open(path);
        while (Libc.FLock(file, (shared ? Libc.LOCK_SH : Libc.LOCK_EX) | Libc.LOCK_NB) != 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            if (errno == Errno.EINTR)
            {
                continue;
            }

            file.Dispose();
            return errno == Errno.EAGAIN ? null : throw new IOException($"flock {path}: {Errno.Describe(errno)}", errno);
        }

        return new FileLock(file);
    }

    /// <summary>Takes the lock exclusively; see the other overload.</summary>
    internal static Task<FileLock> AcquireAsync(string path, CancellationToken cancellationToken) =>
        AcquireAsync(path, shared: false, cancellationToken);

    /// <summary>Takes the lock, waiting if need be.</summary>
    /// <remarks>Cancelling gives up the wait; a lock that is obtained for it afterwards is dropped at once.</remarks>
    internal static async Task<FileLock> AcquireAsync(string path, bool shared, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return TryAcquire(path, shared)
            ?? new FileLock(await FileLockQueue.WaitAsync(path, shared, cancellationToken).ConfigureAwait(false));
    }

    public void Dispose() => Release(_file);

    /// <summary>
    /// Drops the lock and closes the file. Closing alone is not enough: a process that another thread is just spawning has a copy of the
    /// descriptor until it executes its program, and the lock would be held until then.
    /// </summary>
    internal static void Release(SafeFileHandle file)
    {
        if (!file.IsClosed)
        {
            _ = Libc.FLock(file, Libc.LOCK_UN); // it cannot fail on an open file
            file.Dispose();
        }
    }

    internal static SafeFileHandle Open(string path)
    {
        SafeFileHandle file = Libc.Open(path, Libc.O_RDWR | Libc.O_CREAT | Libc.O_CLOEXEC | Libc.O_NOFOLLOW, 0x180);
        return file.IsInvalid ? throw Errno.LastError($"open {path}") : file;
    }
}
