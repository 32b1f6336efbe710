using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>
/// The two processes of a detached VM, found again by its record. Each is held by a pidfd, and is looked at only after that has been
/// opened: whatever the number stands for later, it is this process that has been checked, and this one that is signalled.
/// </summary>
internal sealed class VmProcesses
{
    private readonly VmmContext _context;
    private readonly string _name;

    private VmProcesses(VmmContext context, string name, HostProcess? launcher, HostProcess? qemu, string? stranger)
    {
        _context = context;
        _name = name;
        Launcher = launcher;
        Qemu = qemu;
        Stranger = stranger;
    }

    /// <summary>The launcher; null if it has ended.</summary>
    internal HostProcess? Launcher { get; }

    /// <summary>QEMU; null if it has ended.</summary>
    internal HostProcess? Qemu { get; }

    /// <summary>In what a process that has one of the VM's numbers now is not the VM's; null if there is none.</summary>
    internal string? Stranger { get; }

    /// <summary>Finds what runs of a VM.</summary>
    /// <param name="context">The host's services.</param>
    /// <param name="name">For messages.</param>
    /// <param name="record">The VM's record, of this boot.</param>
    internal static async Task<VmProcesses> FindAsync(VmmContext context, string name, VmRecord record)
    {
        HostProcess? launcher = null;
        HostProcess? qemu = null;
        bool found = false;
        try
        {
            string argument = VmDetachment.NameOf(record.Nonce);
            (SafeFileHandle? pidfd, string? why) = Verify(
                record.LauncherPid, record.LauncherStartTicks, _ => ProcessFacts.HasArgument(record.LauncherPid, argument));
            string? stranger = why;
            launcher = pidfd is null ? null : await context.Processes.WatchAsync(record.LauncherPid, pidfd).ConfigureAwait(false);

            // QEMU is not trusted, and can write to its own command line: being the one child of its launcher counts as much.
            (pidfd, why) = Verify(
                record.QemuPid,
                record.QemuStartTicks,
                facts => (launcher is not null && facts.ParentPid == record.LauncherPid) || ProcessFacts.HasArgument(record.QemuPid, argument));
            stranger ??= why;
            qemu = pidfd is null ? null : await context.Processes.WatchAsync(record.QemuPid, pidfd).ConfigureAwait(false);
            found = true;
            return new VmProcesses(context, name, launcher, qemu, stranger);
        }
        finally
        {
            if (!found && launcher is not null)
            {
                context.Processes.Forget(launcher);
            }
        }
    }

    /// <summary>Ends what runs: the launcher is asked to, and takes QEMU along; what is left after the kill timeout is killed.</summary>
    /// <returns>When nothing of it runs any more.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled; what has been signalled will end nevertheless.</exception>
    internal async Task EndAsync(CancellationToken cancellationToken)
    {
        Task exited = Task.WhenAll(Launcher?.Exited ?? Task.CompletedTask, Qemu?.Exited ?? Task.CompletedTask);
        Launcher?.Signal(Libc.SIGTERM);
        if (Launcher is null)
        {
            // It dies with its launcher, and may not have yet.
            Qemu?.Signal(Libc.SIGKILL);
        }

        try
        {
            await exited.WaitAsync(_context.Options.KillTimeout, _context.Options.TimeProvider, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            VmmLog.LauncherDidNotEnd(_context.Logger, _name, Launcher?.Pid ?? 0);
            Launcher?.Signal(Libc.SIGKILL);
            Qemu?.Signal(Libc.SIGKILL);
            await exited.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Lets go of both without ending them.</summary>
    internal void Forget()
    {
        foreach (HostProcess? process in (ReadOnlySpan<HostProcess?>)[Launcher, Qemu])
        {
            if (process is not null)
            {
                _context.Processes.Forget(process);
            }
        }
    }

    /// <summary>Opens a process and makes sure that it is the one that was recorded.</summary>
    /// <returns>The process, or, if another one has its number, in what they differ; neither if there is none.</returns>
    internal static (SafeFileHandle? Pidfd, string? Stranger) Verify(int pid, long startTicks, Func<ProcessFacts, bool> isOurs)
    {
        SafeFileHandle pidfd = Libc.PidfdOpen(pid);
        bool keep = false;
        try
        {
            if (pidfd.IsInvalid)
            {
                int errno = Marshal.GetLastPInvokeError();
                return errno switch
                {
                    Errno.ESRCH => (null, null),

                    // The number is a thread's of some other process now.
                    Errno.EINVAL or Errno.ENOENT => (null, Describe(pid, "is no process but a thread of one")),
                    _ => throw new IOException($"pidfd_open {pid}: {Errno.Describe(errno)}", errno),
                };
            }

            if (ProcessFacts.Read(pid) is not ProcessFacts facts)
            {
                // Where /proc hides processes, "not there" must not be taken for "ended": the VM may be writing to its disks.
                return Libc.PidfdSendSignal(pidfd, 0) == 0
                    ? throw new IOException(Describe(pid, "runs and is not shown in /proc: is that mounted with hidepid?"))
                    : (null, null);
            }

            if (facts.HasEnded)
            {
                return (null, null);
            }

            if (facts.StartTicks != startTicks)
            {
                return (null, Describe(pid, string.Create(
                    CultureInfo.InvariantCulture, $"was started at {facts.StartTicks} ticks after the boot and not at {startTicks}")));
            }

            // One that is just ending has no command line any more. Number and start are the VM's, and its end is still to be waited for.
            if (!isOurs(facts) && !ProcessFacts.HasNoCommandLine(pid))
            {
                return (null, Describe(pid, "does not have the VM's nonce"));
            }

            keep = true;
            return (pidfd, null);
        }
        finally
        {
            if (!keep)
            {
                pidfd.Dispose();
            }
        }
    }

    private static string Describe(int pid, string difference) => string.Create(CultureInfo.InvariantCulture, $"process {pid} {difference}");
}
