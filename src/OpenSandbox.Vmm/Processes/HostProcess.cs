using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Processes;

/// <summary>A child process, held by a pidfd so that no signal can reach a stranger that reuses its number.</summary>
/// <remarks>Thread-safe. The pidfd belongs to the <see cref="ProcessThread"/>, which closes it when it has reaped the child.</remarks>
internal sealed class HostProcess
{
    private readonly TaskCompletionSource<HostProcessExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal HostProcess(int pid, SafeFileHandle pidfd)
    {
        Pid = pid;
        Pidfd = pidfd;
    }

    /// <summary>Process id, for messages and /proc; signals go through the pidfd.</summary>
    internal int Pid { get; }

    /// <summary>Completes when the process has ended and been reaped. Never fails.</summary>
    internal Task<HostProcessExit> Exited => _exited.Task;

    /// <summary>The process thread's own.</summary>
    internal SafeFileHandle Pidfd { get; }

    /// <summary>Sends a signal; a process that has already ended is no error.</summary>
    internal void Signal(int signal)
    {
        try
        {
            if (Libc.PidfdSendSignal(Pidfd, signal) != 0 && Marshal.GetLastPInvokeError() != Errno.ESRCH)
            {
                throw Errno.LastError($"pidfd_send_signal to process {Pid}");
            }
        }
        catch (ObjectDisposedException)
        {
            // It has been reaped: there is nothing left to signal.
            return;
        }
    }

    internal void SetExited(HostProcessExit exit) => _exited.TrySetResult(exit);
}
