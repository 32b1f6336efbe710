using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Processes;

/// <summary>A child process, held by a pidfd so that no signal can reach a stranger that reuses its number.</summary>
internal sealed class HostProcess : IDisposable
{
    private readonly SafeFileHandle _pidfd;
    private readonly TaskCompletionSource<HostProcessExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal HostProcess(int pid, SafeFileHandle pidfd)
    {
        Pid = pid;
        _pidfd = pidfd;
    }

    /// <summary>Process id, for messages and /proc; signals go through the pidfd.</summary>
    internal int Pid { get; }

    /// <summary>Completes when the process has ended and been reaped. Never fails.</summary>
    internal Task<HostProcessExit> Exited => _exited.Task;

    internal SafeFileHandle Pidfd => _pidfd;

    /// <summary>Sends a signal; a process that has already ended is no error.</summary>
    internal void Signal(int signal)
    {
        if (_pidfd.IsClosed || Exited.IsCompleted)
        {
            return;
        }

        if (Libc.PidfdSendSignal(_pidfd, signal) != 0
            && System.Runtime.InteropServices.Marshal.GetLastPInvokeError() != Errno.ESRCH)
        {
            throw Errno.LastError($"pidfd_send_signal to process {Pid}");
        }
    }

    internal void SetExited(HostProcessExit exit) => _exited.TrySetResult(exit);

    public void Dispose() => _pidfd.Dispose();
}
