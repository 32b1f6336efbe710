using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.Processes;

/// <summary>
/// A process, held by a pidfd so that no signal can reach a stranger that reuses its number: a child, or one that somebody else started.
/// </summary>
/// <remarks>Thread-safe. The pidfd belongs to the <see cref="ProcessThread"/>, which closes it when it has seen the process end.</remarks>
internal sealed class HostProcess
{
    private readonly TaskCompletionSource<HostProcessExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal HostProcess(int pid, SafeFileHandle pidfd, bool isChild = true)
    {
        Pid = pid;
        Pidfd = pidfd;
        IsChild = isChild;
    }

    /// <summary>Process id, for messages and /proc; signals go through the pidfd.</summary>
    internal int Pid { get; }

    /// <summary>Whether this process started it, and so has to reap it.</summary>
    internal bool IsChild { get; }

    /// <summary>Completes when the process has ended and, if it is a child, been reaped. Never fails; never completes once it is let go of.</summary>
    internal Task<HostProcessExit> Exited => _exited.Task;

    /// <summary>The process thread's own.</summary>
    internal SafeFileHandle Pidfd { get; }

    /// <summary>The process thread's own: its number there.</summary>
    internal long Key { get; set; }

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
            // It has ended, or was let go of: there is nothing left to signal.
            return;
        }
    }

    internal void SetExited(HostProcessExit exit) => _exited.TrySetResult(exit);
}
