using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Isolation;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Qemu;

/// <content>Detached VMs: their record, letting go of them, and taking them over.</content>
internal sealed partial class VirtualMachine
{
    /// <summary>
    /// What the next host needs to adopt this VM. Of a VM that this process started: waits until QEMU has been executed, the record is in
    /// the runtime directory, and the launcher has been told to go on without this process.
    /// </summary>
    /// <exception cref="InvalidOperationException">The VM is attached.</exception>
    /// <exception cref="SandboxStartException">QEMU has not been executed, or the record could not be written; the VM is not detached.</exception>
    internal Task<VmRecord> GetRecordAsync(CancellationToken cancellationToken) =>
        _record?.WaitAsync(cancellationToken) ?? throw new InvalidOperationException($"{Name} is attached: it has no record");

    /// <summary>
    /// Takes over a detached VM that no host is connected to: makes sure that it is the one, connects, and opens a channel with a new epoch.
    /// The guest knows of it when the caller has waited for Hello and sent the resume request, as after a start.
    /// </summary>
    /// <remarks>
    /// Two hosts that try at the same time are kept apart by the lock of the runtime directory, and behind that by QEMU, whose sockets take
    /// one client each: the monitor is therefore connected to first, and nothing is sent to the guest before it has answered.
    /// </remarks>
    /// <param name="context">The host's services.</param>
    /// <param name="name">For messages: the sandbox's id.</param>
    /// <param name="record">From <see cref="GetRecordAsync"/>.</param>
    /// <param name="cancellationToken">The VM is as it was before the cancellation surfaces.</param>
    /// <exception cref="VmAdoptionException">
    /// Why not; the VM is as it was, but for one of which half was dead: then nothing of it is left.
    /// </exception>
    internal static async Task<VirtualMachine> AdoptAsync(
        VmmContext context, string name, VmRecord record, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (record.FindFault() is string fault)
        {
            throw new VmAdoptionException(VmAdoptionFailure.InvalidRecord, $"the record of {name} is damaged: {fault}");
        }

        if (record.BootId != BootId.Current)
        {
            throw new VmAdoptionException(
                VmAdoptionFailure.OtherBoot, $"{name} was started before this machine's last boot ({record.BootId}, now {BootId.Current})");
        }

        VmProcesses processes = await VmProcesses.FindAsync(context, name, record).ConfigureAwait(false);
        VmRuntimeDirectory? directory = null;
        bool adopted = false;
        try
        {
            if (processes is not { Launcher: HostProcess launcher, Qemu: HostProcess qemu })
            {
                await processes.EndAsync(cancellationToken).ConfigureAwait(false);
                throw processes.Stranger is string stranger
                    ? new VmAdoptionException(VmAdoptionFailure.Stranger, $"{name} has ended: {stranger}; it has been left alone")
                    : new VmAdoptionException(VmAdoptionFailure.Gone, $"{name} has ended while no host was connected to it");
            }

            directory = VmRuntimeDirectory.TryOpen(record.RuntimeDirectory, out bool inUse)
                ?? throw (inUse
                    ? new VmAdoptionException(VmAdoptionFailure.InUse, $"{name} is in use by another host ({record.RuntimeDirectory} is locked)")
                    : new VmAdoptionException(VmAdoptionFailure.Unreachable, $"{name} runs, but its sockets are gone: there is no {record.RuntimeDirectory}"));
            VmConnections connections;
            try
            {
                connections = await ConnectAsync(context, name, directory, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception failure) when (failure is SocketException or QmpException)
            {
                if (!await EndsSoonAsync(context, launcher, qemu).ConfigureAwait(false))
                {
                    throw new VmAdoptionException(
                        VmAdoptionFailure.Unreachable, $"{name} runs, but cannot be connected to: {failure.Message}", failure);
                }

                // One takes the other along: whoever is told that the VM has gone may use its disks.
                await processes.EndAsync(cancellationToken).ConfigureAwait(false);
                throw new VmAdoptionException(VmAdoptionFailure.Gone, $"{name} has just ended", failure);
            }

            adopted = true;
            return new VirtualMachine(context, name, launcher, qemu, connections, directory, record);
        }
        finally
        {
            if (!adopted)
            {
                directory?.Dispose();
                processes.Forget();
            }
        }
    }

    /// <summary>
    /// Lets go of a detached VM without ending it: closes all connections and waits until they are closed. Afterwards another host, or this
    /// one, can adopt it. Of an attached VM, or one whose record could not be written, this is the same as <see cref="DisposeAsync"/>.
    /// </summary>
    internal Task ReleaseAsync()
    {
        lock (_gate)
        {
            return _ended ??= LetGoAsync();
        }
    }

    private async Task LetGoAsync()
    {
        if (_record is null || !await IsDetachedAsync(_record).ConfigureAwait(false))
        {
            await EndAsync().ConfigureAwait(false);
            return;
        }

        await _connections.DisposeAsync().ConfigureAwait(false);
        _context.Processes.Forget(_launcher);
        _context.Processes.Forget(_qemu!);

        // The launcher has the uid's lock, too. The directory's lock is the last to go: now the next host may come.
        _uid?.Dispose();
        _directory!.Dispose();
    }

    private async Task<bool> IsDetachedAsync(Task<VmRecord> record)
    {
        await Task.WhenAny(record, Task.Delay(_context.Options.StartTimeout, _context.Options.TimeProvider)).ConfigureAwait(false);
        return record.IsCompletedSuccessfully;
    }

    /// <summary>
    /// Writes down what there is to know of a VM that has just been started, and only then tells its launcher to go on without this process:
    /// a VM that nobody could find ends with the process that started it.
    /// </summary>
    private async Task<VmRecord> DetachAsync(VmRuntimeDirectory directory, string nonce)
    {
        const string phase = "detaching QEMU";
        string report = await _connections.Report!.Text.ConfigureAwait(false);
        if (LauncherReport.FindError(report) is not null || LauncherReport.FindPid(report) is not int pid)
        {
            throw new SandboxStartException(Name, "starting QEMU", LauncherReport.DescribeFailure(report), StandardErrorTail);
        }

        try
        {
            // The child of a child that has not been reaped: its number is not used again before its parent has ended.
            SafeFileHandle pidfd = Libc.PidfdOpen(pid);
            if (pidfd.IsInvalid
                || ProcessFacts.Read(_launcher.Pid) is not { HasEnded: false } launcher
                || ProcessFacts.Read(pid) is not { HasEnded: false } qemu
                || qemu.ParentPid != _launcher.Pid)
            {
                pidfd.Dispose();
                throw new SandboxStartException(Name, phase, "it has ended already", StandardErrorTail);
            }

            Volatile.Write(ref _qemu, await _context.Processes.WatchAsync(pid, pidfd).ConfigureAwait(false));
            VmConfinement confinement = await ConfineAsync().ConfigureAwait(false);
            var record = new VmRecord(
                _launcher.Pid,
                launcher.StartTicks,
                pid,
                qemu.StartTicks,
                BootId.Current,
                nonce,
                _uid?.Uid ?? (int)Libc.GetEffectiveUserId(),
                directory.Location) { Confinement = confinement };
            directory.WriteRecord(record);
            await _connections.Tie!.SendAsync(new byte[] { 1 }).ConfigureAwait(false);
            return record;
        }
        catch (Exception failure) when (failure is IOException or SocketException or UnauthorizedAccessException or ObjectDisposedException)
        {
            throw new SandboxStartException(Name, phase, failure.Message, StandardErrorTail, failure);
        }
    }

    private static async Task<VmConnections> ConnectAsync(
        VmmContext context, string name, VmRuntimeDirectory directory, CancellationToken cancellationToken)
    {
        var sockets = new List<Socket>(4);
        Task<QmpClient>? greeting = null;
        GuestChannel? channel = null;
        bool connected = false;
        using var abandoned = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            // The greeting has a deadline of its own. It does not come while QEMU talks to somebody else. The agent is called at the same
            // time: with many machines under load each answer takes as long as the host's processors are queued for.
            greeting = QmpClient.ConnectAsync(
                directory.Connect(VmRuntimeDirectory.QmpSocket),
                new QmpClientOptions { TimeProvider = context.Options.TimeProvider },
                context.Loggers.CreateLogger("OpenSandbox.Qmp"),
                abandoned.Token);
            foreach (string port in (string[])
                [VmRuntimeDirectory.ControlSocket, VmRuntimeDirectory.BulkSocket, VmRuntimeDirectory.NetworkSocket, VmRuntimeDirectory.ConsoleSocket])
            {
                sockets.Add(directory.Connect(port));
            }

            channel = GuestChannel.Open(sockets[0], sockets[1], sockets[2], ChannelOptions(context, reconnect: true));
            var connections = new VmConnections(context, name, await greeting.ConfigureAwait(false), channel, sockets[3]);
            connected = true;
            return connections;
        }
        finally
        {
            if (!connected)
            {
                if (channel is not null)
                {
                    await channel.DisposeAsync().ConfigureAwait(false);
                }

                sockets.ForEach(static socket => socket.Dispose());
                if (greeting is not null)
                {
                    await abandoned.CancelAsync().ConfigureAwait(false);
                    await greeting.ContinueWith(
                        static ended => ended.IsCompletedSuccessfully ? ended.Result.DisposeAsync().AsTask() : Task.CompletedTask,
                        CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default).Unwrap().ConfigureAwait(false);
                }
            }
        }
    }

    private static async Task<bool> EndsSoonAsync(VmmContext context, HostProcess launcher, HostProcess qemu)
    {
        Task ended = Task.WhenAny(launcher.Exited, qemu.Exited);
        await Task.WhenAny(ended, Task.Delay(s_exitGrace, context.Options.TimeProvider)).ConfigureAwait(false);
        return ended.IsCompleted;
    }
}
