using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Storage;

/// <summary>
/// Those of this process that wait for one file's lock. flock can neither be awaited nor be interrupted, so that a thread has to block in it;
/// there is one for all of them, however many come, give up and come again while somebody else holds the lock.
/// </summary>
internal sealed class FileLockQueue
{
    private static readonly Lock s_gate = new();
    private static readonly Dictionary<(string Path, bool Shared), FileLockQueue> s_queues = [];

    private readonly string _path;
    private readonly bool _shared;
    private readonly LinkedList<TaskCompletionSource<SafeFileHandle>> _waiters = new();

    private int _threads;

    private FileLockQueue(string path, bool shared)
    {
        _path = path;
        _shared = shared;
    }

    /// <summary>How many threads of this process are blocked for a file's lock: at most one for each kind of lock.</summary>
    internal static int ThreadsFor(string path)
    {
        lock (s_gate)
        {
            return s_queues.Where(queue => queue.Key.Path == path).Sum(static queue => queue.Value._threads);
        }
    }

    internal static async Task<SafeFileHandle> WaitAsync(string path, bool shared, CancellationToken cancellationToken)
    {
        var waiter = new TaskCompletionSource<SafeFileHandle>(TaskCreationOptions.RunContinuationsAsynchronously);
        FileLockQueue? queue;
        LinkedListNode<TaskCompletionSource<SafeFileHandle>> place;
        lock (s_gate)
        {
            bool running = s_queues.TryGetValue((path, shared), out queue);
            if (!running)
            {
                queue = new FileLockQueue(path, shared);
                s_queues.Add((path, shared), queue);
            }

            place = queue!._waiters.AddLast(waiter);
            if (!running)
            {
                new Thread(queue.Run) { IsBackground = true, Name = "file lock" }.Start();
            }
        }

        await using (cancellationToken.UnsafeRegister(
            _ =>
            {
                lock (s_gate)
                {
                    if (place.List is not null)
                    {
                        place.List.Remove(place);
                    }
                }

                waiter.TrySetCanceled(cancellationToken);
            },
            null).ConfigureAwait(false))
        {
            return await waiter.Task.ConfigureAwait(false);
        }
    }

    private void Run()
    {
        Interlocked.Increment(ref _threads);
        while (true)
        {
            SafeFileHandle? file = null;
            IOException? failure = null;
            try
            {
                file = Block();
            }
            catch (IOException failed)
            {
                failure = failed;
            }

            lock (s_gate)
            {
                bool delivered = false;
                while (!delivered && _waiters.First is { } first)
                {
                    _waiters.RemoveFirst();
                    delivered = failure is null ? first.Value.TrySetResult(file!) : first.Value.TrySetException(failure);
                }

                if (!delivered)
                {
                    file?.Dispose();
                }

                if (_waiters.Count == 0)
                {
                    s_queues.Remove((_path, _shared));
                    return;
                }
            }
        }
    }

    private SafeFileHandle Block()
    {
        SafeFileHandle file = FileLock.Open(_path);
        while (Libc.FLock(file, _shared ? Libc.LOCK_SH : Libc.LOCK_EX) != 0)
        {
            int errno = Marshal.GetLastPInvokeError();
            if (errno != Errno.EINTR)
            {
                file.Dispose();
                throw new IOException($"flock {_path}: {Errno.Describe(errno)}", errno);
            }
        }

        return file;
    }
}
