using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Storage;

/// <summary>An exclusive lock between processes on this machine; the kernel drops it with its holder.</summary>
internal sealed class FileLock : IDisposable
{
    private readonly SafeFileHandle _file;

    private FileLock(SafeFileHandle file) => _file = file;

    /// <summary>Takes the lock, waiting on a thread of its own, because flock cannot be awaited.</summary>
    /// <remarks>Cancelling abandons the wait; a lock that is obtained afterwards is dropped at once.</remarks>
    internal static async Task<FileLock> AcquireAsync(string path, CancellationToken cancellationToken)
    {
        SafeFileHandle file = Libc.Open(path, Libc.O_RDWR | Libc.O_CREAT | Libc.O_CLOEXEC | Libc.O_NOFOLLOW, 0x180);
        if (file.IsInvalid)
        {
            throw Errno.LastError($"open {path}");
        }

        if (Libc.FLock(file, Libc.LOCK_EX | Libc.LOCK_NB) == 0)
        {
            return new FileLock(file);
        }

        Task wait = Task.Factory.StartNew(
            () =>
            {
                int result;
                do
                {
                    result = Libc.FLock(file, Libc.LOCK_EX);
                }
                while (result != 0 && Marshal.GetLastPInvokeError() == Errno.EINTR);

                if (result != 0)
                {
                    throw Errno.LastError($"flock {path}");
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        try
        {
            await wait.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            _ = wait.ContinueWith(
                ended =>
                {
                    _ = ended.Exception; // seen: nobody waits for it any more
                    file.Dispose();
                },
                CancellationToken.None,
                TaskContinuationOptions.None,
                TaskScheduler.Default);
            throw;
        }

        return new FileLock(file);
    }

    public void Dispose() => _file.Dispose();
}
