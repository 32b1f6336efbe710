using OpenSandbox.Vmm.Isolation;

namespace OpenSandbox.Vmm.Qemu;

/// <content>What stands between QEMU and the host.</content>
internal sealed partial class VirtualMachine
{
    /// <summary>
    /// Memory of QEMU besides its guest's: the translator's buffer (<c>tb-size</c>), and its own. Measured with QEMU 7.2: 37 MiB idle, 115 MiB
    /// after minutes of Python, both of it together. The page cache of its disks counts as well, and is given back under pressure.
    /// </summary>
    private const long TranslatorBytes = 256L << 20;
    private const long OwnBytes = 192L << 20;

    private readonly VmCgroup? _cgroup;
    private readonly IsolationRequirement? _requirement;
    private readonly IsolationLevel _mode;
    private readonly Task<SandboxIsolation> _isolation;

    /// <summary>The accelerator that it runs under.</summary>
    private string Accelerator { get; }

    /// <summary>
    /// What is in force, known when QEMU has been executed; of an adopted VM, as its first host wrote down. Fails if something required is
    /// missing, and then the VM is to be ended: what runs in it so far is no guest of anybody's.
    /// </summary>
    /// <exception cref="SandboxIsolationException">A required control is missing.</exception>
    /// <exception cref="SandboxStartException">QEMU has not been executed.</exception>
    internal Task<SandboxIsolation> GetIsolationAsync(CancellationToken cancellationToken) => _isolation.WaitAsync(cancellationToken);

    /// <summary>Which required control kept it from starting; null if that was not the reason. Waits no longer than for its end.</summary>
    internal async Task<SandboxIsolationException?> FindIsolationFailureAsync()
    {
        await EndOrGraceAsync(((Task)_isolation).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default))
            .ConfigureAwait(false);
        return _isolation.Exception?.InnerException as SandboxIsolationException;
    }

    /// <summary>Lets its cgroup, if it has one, allow so much plugged memory.</summary>
    /// <exception cref="IOException">The kernel refused more.</exception>
    internal void AllowPlugged(long bytes) => _cgroup?.LimitPlugged(bytes);

    /// <summary>Memory that a QEMU may have besides what is plugged in, bytes.</summary>
    internal static long FixedBytes(VmShape shape) =>
        ((long)shape.BaseMemoryMib << 20) + OwnBytes + (shape.Accelerator == Accelerators.Tcg ? TranslatorBytes : 0);

    private async Task<VmConfinement> ConfineAsync()
    {
        string report = await _connections.Report!.Text.ConfigureAwait(false);
        if (LauncherReport.FindError(report) is string error)
        {
            throw (SandboxException?)Jail.FindCause(Name, error)
                ?? new SandboxStartException(Name, "starting QEMU", LauncherReport.DescribeFailure(report), StandardErrorTail);
        }

        return new VmConfinement(
            _mode,
            _uid is not null,
            _mode != IsolationLevel.Full || _requirement?.Controls.Contains(IsolationControl.FileRules) == true,
            LauncherReport.FindMissing(report),
            _cgroup?.ByController ?? new Dictionary<IsolationControl, string>(),
            _cgroup?.FixedBytes ?? 0);
    }

    private async Task<SandboxIsolation> DescribeIsolationAsync()
    {
        SandboxIsolation isolation = Jail.Describe(await ConfineAsync().ConfigureAwait(false), _context, _cgroup, Accelerator);
        return _requirement is not null && isolation.FindLack(_requirement) is IsolationControlState lack
            ? throw new SandboxIsolationException(Name, lack.Control, lack.Detail, Jail.RemedyOf(lack.Control))
            : isolation;
    }
}
