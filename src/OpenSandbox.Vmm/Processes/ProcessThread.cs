using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Processes;

/// <summary>
/// The one thread that starts and reaps child processes, and sees others end. It lives as long as the host object, because the parent-death signal of a
/// child is bound to the thread that forked it: a child started from a pool thread would be killed when the pool retires that thread.
/// </summary>
/// <remarks>Thread-safe. The thread sleeps in epoll on a wake-up eventfd and on the pidfds of all of them.</remarks>
internal sealed unsafe partial class ProcessThread : IDisposable
{
    private const int EventBatch = 64;

    /// <summary>Descriptors of the child are 0..; their sources are duplicated to this number or above first, so that no dup2 overwrites one.</summary>
    private const int FirstSafeSource = 128;

    private readonly SafeFileHandle _epoll;
    private readonly SafeFileHandle _wake;
    private readonly ConcurrentQueue<Request> _requests = new();
    private readonly ConcurrentQueue<HostProcess> _forgotten = new();
    private readonly Dictionary<long, HostProcess> _processes = [];
    private readonly Thread _thread;
    private long _nextKey = 1;
    private volatile bool _stopping;

    internal ProcessThread()
    {
        _epoll = Libc.EpollCreate(Libc.EPOLL_CLOEXEC);
        _wake = Libc.EventFd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);
        if (_epoll.IsInvalid || _wake.IsInvalid)
        {
            throw Errno.LastError("epoll_create1 or eventfd for the process thread");
        }

        Watch(_wake, key: 0);
        _thread = new Thread(Run) { Name = "opensandbox-processes", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Starts a process. The task completes when it has been started (posix_spawn has returned), or fails with why not.</summary>
    internal Task<HostProcess> StartAsync(HostProcessStart start) => AddAsync(() => Spawn(start));

    /// <summary>Lets go of a process that <see cref="WatchAsync"/> gave. A child is kept, because it has to be reaped.</summary>
    internal void Forget(HostProcess process)
    {
        if (!process.IsChild && !_stopping)
        {
            _forgotten.Enqueue(process);
            Wake();
        }
    }

    /// <summary>Ends the thread. Children that still run stay unreaped; owners end them first, or mean them to go on.</summary>
    public void Dispose()
    {
        if (_stopping)
        {
            return;
        }

        _stopping = true;
        Wake();
        _thread.Join();
        _epoll.Dispose();
        _wake.Dispose();
    }

    private Task<HostProcess> AddAsync(Func<HostProcess> make)
    {
        ObjectDisposedException.ThrowIf(_stopping, this);
        var request = new Request(make);
        _requests.Enqueue(request);
        Wake();
        return request.Added.Task;
    }

    private void Wake()
    {
        Span<byte> one = stackalloc byte[sizeof(ulong)];
        BitConverter.TryWriteBytes(one, 1UL);
        RandomAccess.Write(_wake, one, 0);
    }

    private void Run()
    {
        Libc.EpollEvent* events = stackalloc Libc.EpollEvent[EventBatch];
        while (!_stopping)
        {
            int count = Libc.EpollWait(_epoll, events, EventBatch, -1);
            if (count < 0 && Marshal.GetLastPInvokeError() != Errno.EINTR)
            {
                FailAll(Errno.LastError("epoll_wait in the process thread"));
                return;
            }

            for (int i = 0; i < count; i++)
            {
                if (events[i].Data == 0)
                {
                    DrainWake();
                }
                else if (_processes.TryGetValue(events[i].Data, out HostProcess? process))
                {
                    Reap(process);
                }
            }

            while (_requests.TryDequeue(out Request? request))
            {
                Add(request);
            }

            while (_forgotten.TryDequeue(out HostProcess? process))
            {
                LetGo(process);
            }
        }

        foreach (HostProcess process in _processes.Values)
        {
            process.Pidfd.Dispose();
        }

        FailAll(new ObjectDisposedException(nameof(ProcessThread)));
    }

    private void FailAll(Exception cause)
    {
        while (_requests.TryDequeue(out Request? request))
        {
            request.Added.TrySetException(cause);
        }
    }

    private void DrainWake()
    {
        Span<byte> counter = stackalloc byte[sizeof(ulong)];
        RandomAccess.Read(_wake, counter, 0);
    }

    private void Add(Request request)
    {
        try
        {
            HostProcess process = request.Make();
            process.Key = _nextKey++;
            Watch(process.Pidfd, process.Key);
            _processes.Add(process.Key, process);
            request.Added.TrySetResult(process);
        }
        catch (Exception failure)
        {
            // Whatever it is, it is the caller's: this thread serves all sandboxes and must go on.
            request.Added.TrySetException(failure);
        }
    }

    private void Reap(HostProcess process)
    {
        Libc.SigInfo info = default;
        if (process.IsChild && Libc.WaitId(Libc.P_PIDFD, process.Pidfd, &info, Libc.WEXITED | Libc.WNOHANG) == 0 && info.Pid == 0)
        {
            return;
        }

        LetGo(process);
        process.SetExited(!process.IsChild ? default
            : info.Code == Libc.CLD_EXITED ? new HostProcessExit(info.Status, null)
            : new HostProcessExit(null, info.Status));
    }

    private void LetGo(HostProcess process)
    {
        if (_processes.Remove(process.Key))
        {
            process.Pidfd.Dispose(); // epoll forgets it with its last descriptor
        }
    }

    private void Watch(SafeHandle fd, long key)
    {
        var interest = new Libc.EpollEvent { Events = Libc.EPOLLIN, Data = key };
        if (Libc.EpollControl(_epoll, Libc.EPOLL_CTL_ADD, fd, &interest) != 0)
        {
            throw Errno.LastError("epoll_ctl in the process thread");
        }
    }

    private static HostProcess Spawn(HostProcessStart start)
    {
        var copies = new List<SafeFileHandle>();

        // JUSTIFICATION: posix_spawn takes C structures and arrays of C strings; it is the only way to start a child with chosen
        // descriptors from a multi-threaded process without running managed code between fork and exec.
        // SAFETY: the three structures are larger than glibc's; the string arrays are NULL-terminated and outlive the call.
        byte* actions = stackalloc byte[Libc.SpawnStructSize];
        byte* attributes = stackalloc byte[Libc.SpawnStructSize];
        byte* signals = stackalloc byte[Libc.SpawnStructSize];
        byte** argv = ToNativeStrings(start.Arguments);
        byte** environment = ToNativeStrings([]);
        Check(Libc.SpawnFileActionsInit(actions), "posix_spawn_file_actions_init");
        Check(Libc.SpawnAttributesInit(attributes), "posix_spawnattr_init");
        try
        {
            // .NET ignores SIGPIPE and blocks nothing we want blocked: the child starts with default dispositions and an empty mask.
            _ = Libc.SigFillSet(signals);
            Check(Libc.SpawnAttributesSetSignalDefault(attributes, signals), "posix_spawnattr_setsigdefault");
            _ = Libc.SigEmptySet(signals);
            Check(Libc.SpawnAttributesSetSignalMask(attributes, signals), "posix_spawnattr_setsigmask");
            Check(Libc.SpawnAttributesSetFlags(attributes, Libc.POSIX_SPAWN_SETSIGDEF | Libc.POSIX_SPAWN_SETSIGMASK), "posix_spawnattr_setflags");

            for (int target = 0; target < start.Descriptors.Count; target++)
            {
                // A copy of our own, so that nobody can close it, or give its number to another file, before the spawn.
                int copy = Libc.Fcntl(start.Descriptors[target], Libc.F_DUPFD_CLOEXEC, FirstSafeSource);
                if (copy < 0)
                {
                    throw Errno.LastError("fcntl F_DUPFD_CLOEXEC");
                }

                copies.Add(new SafeFileHandle(copy, ownsHandle: true));
                Check(Libc.SpawnFileActionsAddDup2(actions, copy, target), "posix_spawn_file_actions_adddup2");
            }

            int pid;
            Check(Libc.PosixSpawn(&pid, start.Path, actions, attributes, argv, environment), $"posix_spawn {start.Path}");

            // Only this thread reaps, so the number cannot have been reused.
            SafeFileHandle pidfd = Libc.PidfdOpen(pid);
            return pidfd.IsInvalid ? throw Errno.LastError($"pidfd_open {pid}") : new HostProcess(pid, pidfd);
        }
        finally
        {
            _ = Libc.SpawnFileActionsDestroy(actions);
            _ = Libc.SpawnAttributesDestroy(attributes);
            FreeNativeStrings(argv);
            FreeNativeStrings(environment);
            copies.ForEach(static copy => copy.Dispose());
        }
    }

    private static void Check(int errno, string call)
    {
        if (errno != 0)
        {
            throw new IOException($"{call}: {Errno.Describe(errno)}", errno);
        }
    }

    private static byte** ToNativeStrings(IReadOnlyList<string> strings)
    {
        var array = (byte**)NativeMemory.Alloc((nuint)(strings.Count + 1), (nuint)sizeof(byte*));
        for (int i = 0; i < strings.Count; i++)
        {
            array[i] = (byte*)Marshal.StringToCoTaskMemUTF8(strings[i]);
        }

        array[strings.Count] = null;
        return array;
    }

    private static void FreeNativeStrings(byte** array)
    {
        for (byte** entry = array; *entry is not null; entry++)
        {
            Marshal.FreeCoTaskMem((nint)(*entry));
        }

        NativeMemory.Free(array);
    }

    private sealed class Request(Func<HostProcess> make)
    {
        internal Func<HostProcess> Make { get; } = make;

        internal TaskCompletionSource<HostProcess> Added { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
