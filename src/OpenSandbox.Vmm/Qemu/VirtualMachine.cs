using OpenSandbox.Interop;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Isolation;
using OpenSandbox.Vmm.Processes;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>
/// A QEMU process behind its launcher, with its connections. An attached one ends with this object, and with this process whatever ends
/// that. A detached one ends with this object, too, unless it is released; without this process it goes on.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed partial class VirtualMachine : IAsyncDisposable
{
    private const int LauncherFailure = 125;

    private static readonly TimeSpan s_exitGrace = TimeSpan.FromSeconds(1);

    private readonly VmmContext _context;
    private readonly HostProcess _launcher;
    private readonly UidPool.Lease? _uid;
    private readonly VmConnections _connections;
    private readonly VmRuntimeDirectory? _directory;
    private readonly Task<VmRecord>? _record;
    private readonly Lock _gate = new();
    private HostProcess? _qemu;
    private Task? _ended;

    /// <summary>One that this process has started.</summary>
    private VirtualMachine(
        VmmContext context,
        VmLaunch launch,
        IsolationLevel mode,
        VmCgroup? cgroup,
        HostProcess launcher,
        UidPool.Lease? uid,
        VmConnections connections,
        VmRuntimeDirectory? directory,
        string? nonce)
    {
        _context = context;
        Name = launch.Name;
        Accelerator = launch.Shape.Accelerator;
        _requirement = launch.Isolation ?? context.Options.Isolation;
        _mode = mode;
        _cgroup = cgroup;
        _launcher = launcher;
        _uid = uid;
        _connections = connections;
        _directory = directory;
        Exited = launcher.Exited;
        _isolation = DescribeIsolationAsync();
        _record = directory is null ? null : DetachAsync(directory, nonce!);
    }

    /// <summary>One that somebody else has started.</summary>
    private VirtualMachine(
        VmmContext context, string name, HostProcess launcher, HostProcess qemu, VmConnections connections, VmRuntimeDirectory directory, VmRecord record)
    {
        // Which accelerator it has is not recorded: it began with a golden snapshot, and this host's are all of one.
        _context = context;
        Name = name;
        Accelerator = context.Accelerator;
        _cgroup = record.Confinement is null ? null : context.Cgroups.Adopt(record.Confinement.Cgroups, record.Confinement.FixedBytes);
        _isolation = Task.FromResult(
            record.Confinement is null ? Jail.Unknown(Accelerator) : Jail.Describe(record.Confinement, context, _cgroup, Accelerator));
        _launcher = launcher;
        _qemu = qemu;
        _connections = connections;
        _directory = directory;
        _record = Task.FromResult(record);
        Exited = BothAsync(launcher.Exited, qemu.Exited);

        static async Task<HostProcessExit> BothAsync(Task<HostProcessExit> launcher, Task<HostProcessExit> qemu)
        {
            await qemu.ConfigureAwait(false);
            return await launcher.ConfigureAwait(false);
        }
    }

    /// <summary>For messages.</summary>
    internal string Name { get; private set; }

    /// <summary>The channel to the guest's agent. Its preamble has been written.</summary>
    internal GuestChannel Channel => _connections.Channel;

    /// <summary>
    /// Completes when QEMU is gone and, if this process is the one to do it, reaped. Never fails. Of an adopted VM that has been released
    /// it never completes.
    /// </summary>
    internal Task<HostProcessExit> Exited { get; }

    /// <summary>It is called otherwise from now on: a machine that was started before it was known for whom.</summary>
    internal void Rename(string name)
    {
        Name = name;
        _connections.Name = name;
    }

    internal int LauncherPid => _launcher.Pid;

    /// <summary>The end of what QEMU has printed; of an adopted VM nothing, because that went to the host that started it.</summary>
    internal string StandardErrorTail => _connections.Output is BoundedOutput output ? WithoutWaiting(output.Tail()) : "";

    /// <summary>The end of what the guest's kernel has printed while this host was connected.</summary>
    internal string ConsoleTail => _connections.Console.Tail();

    /// <summary>QEMU's process id as this process sees it, for /proc.</summary>
    /// <exception cref="SandboxStartException">The launcher failed before or at the start of QEMU.</exception>
    internal async Task<int> GetQemuPidAsync(CancellationToken cancellationToken)
    {
        if (_connections.Report is not LauncherReport report)
        {
            return (await _record!.ConfigureAwait(false)).QemuPid;
        }

        string text = await report.Text.WaitAsync(cancellationToken).ConfigureAwait(false);
        return LauncherReport.FindPid(text)
            ?? throw new SandboxStartException(Name, "starting QEMU", LauncherReport.DescribeFailure(text), StandardErrorTail);
    }

    /// <summary>The monitor; connected on first use, once.</summary>
    internal Task<QmpClient> GetQmpAsync() => _connections.GetQmpAsync();

    /// <summary>Why QEMU ended, as far as launcher, exit status and messages tell.</summary>
    internal async Task<SandboxExit> DescribeExitAsync()
    {
        HostProcessExit exit = await Exited.ConfigureAwait(false);

        // Their other ends are closed by now, unless a hostile QEMU sent itself a copy over a socket that nobody reads: hence the bound.
        string status = _connections.Report is LauncherReport report && await EndOrGraceAsync(report.Text).ConfigureAwait(false)
            ? await report.Text.ConfigureAwait(false)
            : "";
        await EndOrGraceAsync(Task.WhenAll(_connections.Output?.Ended ?? Task.CompletedTask, _connections.Console.Ended)).ConfigureAwait(false);
        bool neverStarted = exit.ExitCode == LauncherFailure && LauncherReport.FindError(status) is not null;
        bool byGuest = exit.ExitCode == 0 || (_connections.ShutdownByGuest is Task<bool> shutdown
            && await EndOrGraceAsync(shutdown).ConfigureAwait(false) && await shutdown.ConfigureAwait(false));
        (SandboxExitReason reason, string text) = exit switch
        {
            { ExitCode: not 0 } when !byGuest && _cgroup?.HasRunOutOfMemory() == true => (
                SandboxExitReason.HostMemoryLimit, "QEMU needed more memory than its host cgroup allows, and was ended by the kernel"),
            _ when neverStarted => (SandboxExitReason.VmmEnded, $"its launcher failed: {LauncherReport.DescribeFailure(status)}"),
            _ when byGuest => (SandboxExitReason.GuestEnded, "its guest shut down, rebooted or panicked"),
            { ExitCode: > 128 and < 193 } => (SandboxExitReason.VmmEnded, $"QEMU was ended by signal {exit.ExitCode - 128}"),
            { ExitCode: null, Signal: null } => (
                SandboxExitReason.VmmEnded, "QEMU ended; how is not known, because an earlier host had started it, and the guest had not shut down"),
            _ => (SandboxExitReason.VmmEnded, $"QEMU ended with {exit}"),
        };
        return new SandboxExit(reason, text, StandardErrorTail, ConsoleTail);
    }

    /// <summary>Like <see cref="DescribeExitAsync"/>, if QEMU is gone or about to go: sockets close a moment before it can be reaped.</summary>
    internal async Task<SandboxExit?> TryDescribeExitAsync()
    {
        return await EndOrGraceAsync(Exited).ConfigureAwait(false) ? await DescribeExitAsync().ConfigureAwait(false) : null;
    }

    /// <summary>Ends QEMU at once and waits until it is gone. After <see cref="ReleaseAsync"/> it waits for that instead.</summary>
    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _ended ??= EndAsync();
        }

        return new ValueTask(_ended);
    }

    /// <summary>A detached QEMU says of each socket that it waits for a connection, which is there already: not a message for anybody.</summary>
    private string WithoutWaiting(string messages) => _directory is null || messages.Length == 0
        ? messages
        : string.Join('\n', messages.Split('\n').Where(static line => !line.Contains(": info: QEMU waiting for connection on: ", StringComparison.Ordinal)));

    private async Task<bool> EndOrGraceAsync(Task end)
    {
        try
        {
            await end.WaitAsync(s_exitGrace, _context.Options.TimeProvider).ConfigureAwait(false);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    private async Task EndAsync()
    {
        _connections.Seal();

        // SIGTERM asks the launcher to kill QEMU and to wait for it, so that its exit means that both are gone.
        _launcher.Signal(Libc.SIGTERM);
        try
        {
            await Exited.WaitAsync(_context.Options.KillTimeout, _context.Options.TimeProvider).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            VmmLog.LauncherDidNotEnd(_context.Logger, Name, LauncherPid);
            _launcher.Signal(Libc.SIGKILL);
            Volatile.Read(ref _qemu)?.Signal(Libc.SIGKILL);
            await Exited.ConfigureAwait(false);
        }

        await ((Task)_isolation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // ends with the launcher's report
        if (_record is not null)
        {
            // With the launcher its report has ended, and so has what was waiting for that.
            await ((Task)_record).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await (_qemu?.Exited ?? Task.CompletedTask).ConfigureAwait(false);
        }

        await _connections.DisposeAsync().ConfigureAwait(false);
        _cgroup?.Remove();
        RemoveDirectory();
        _uid?.Dispose();
    }

    private void RemoveDirectory()
    {
        try
        {
            _directory?.Remove();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // The VM is gone all the same; sweeping comes by again.
            VmmLog.SweepFailed(_context.Logger, _directory!.Location, failure);
        }
    }
}
