using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Processes;

/// <summary>
/// Gives each VM a uid of its own, across all processes that use the library with the same runtime directory: a slot is a file that is locked as long as
/// the VM lives, and the kernel drops the lock with its holder.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class UidPool
{
    private readonly string _directory;
    private readonly int _firstUid;
    private readonly int _count;
    private readonly Lock _gate = new();
    private readonly HashSet<int> _ours = [];
    private int _next;

    internal UidPool(string runtimeDirectory, int firstUid, int count)
    {
        _directory = Path.Combine(runtimeDirectory, "uids");
        Directory.CreateDirectory(_directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        _firstUid = firstUid;
        _count = count;

        // Processes start at different slots, so that they rarely try each other's.
        _next = Environment.ProcessId % count;
    }

    /// <summary>Takes a free uid.</summary>
    /// <exception cref="SandboxCapacityException">All are taken.</exception>
    internal Lease Take()
    {
        lock (_gate)
        {
            for (int attempt = 0; attempt < _count; attempt++)
            {
                int slot = _next;
                _next = (_next + 1) % _count;
                if (_ours.Contains(slot))
                {
                    continue;
                }

                SafeFileHandle file = Libc.Open(
                    Path.Combine(_directory, $"{_firstUid + slot}"), Libc.O_RDWR | Libc.O_CREAT | Libc.O_CLOEXEC | Libc.O_NOFOLLOW, 0x180);
                if (file.IsInvalid)
                {
                    throw Errno.LastError($"open a uid lock in {_directory}");
                }

                if (Libc.FLock(file, Libc.LOCK_EX | Libc.LOCK_NB) == 0)
                {
                    _ours.Add(slot);
                    return new Lease(this, slot, file);
                }

                int errno = Marshal.GetLastPInvokeError();
                file.Dispose();
                if (errno != Errno.EAGAIN)
                {
                    throw new IOException($"flock in {_directory}: {Errno.Describe(errno)}", errno);
                }
            }
        }

        throw new SandboxCapacityException(
            $"all {_count} uids from {_firstUid} on are in use by sandboxes on this machine; end some, or raise SandboxHostOptions.MaxSandboxes");
    }

    /// <summary>A uid in use.</summary>
    internal sealed class Lease : IDisposable
    {
        private readonly UidPool _pool;
        private readonly int _slot;
        private SafeFileHandle? _file;

        internal Lease(UidPool pool, int slot, SafeFileHandle file)
        {
            _pool = pool;
            _slot = slot;
            _file = file;
        }

        internal int Uid => _pool._firstUid + _slot;

        /// <summary>The locked file. As long as anybody has a duplicate of it open, nobody gets the uid.</summary>
        internal SafeFileHandle Lock => _file ?? throw new ObjectDisposedException(nameof(Lease));

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _file, null) is SafeFileHandle file)
            {
                file.Dispose();
                lock (_pool._gate)
                {
                    _pool._ours.Remove(_slot);
                }
            }
        }
    }
}
