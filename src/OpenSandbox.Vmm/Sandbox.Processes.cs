using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Expiry;

namespace OpenSandbox.Vmm;

/// <content>Starting processes.</content>
public sealed partial class Sandbox
{
    private const string Shell = "/bin/sh";

    /// <summary>Processes of the guest: those that run and those that have ended lately.</summary>
    public SandboxProcesses Processes { get; }

    /// <summary>Runs a shell line to its end and collects its output.</summary>
    /// <param name="shellLine">What the guest's <c>/bin/sh -c</c> runs.</param>
    /// <param name="options">Default: see <see cref="ExecOptions"/>.</param>
    /// <param name="cancellationToken">Kills the line and everything it started.</param>
    /// <returns>Exit status and output; a non-zero exit code is no error.</returns>
    /// <exception cref="SandboxOperationException">The shell could not be started; the sandbox is still usable.</exception>
    /// <exception cref="SandboxTimeoutException">The guest did not report the end in time, as for a program.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<ExecResult> ExecAsync(string shellLine, ExecOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(shellLine);
        return ExecAsync([Shell, "-c", shellLine], options, cancellationToken);
    }

    /// <summary>Starts a shell line as a process; see the other overload.</summary>
    /// <param name="shellLine">What the guest's <c>/bin/sh -c</c> runs.</param>
    /// <param name="options">Default: see <see cref="StartOptions"/>.</param>
    /// <param name="cancellationToken">Until the process has been started; kills it.</param>
    /// <returns>The running process; dispose it.</returns>
    /// <exception cref="SandboxOperationException">The shell could not be started; the sandbox is still usable.</exception>
    /// <exception cref="SandboxTimeoutException">The guest did not say that it was started.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<SandboxProcess> StartAsync(string shellLine, StartOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(shellLine);
        return StartAsync([Shell, "-c", shellLine], options, cancellationToken);
    }

    /// <summary>
    /// Starts a process whose input and output are streamed, and whose output the guest keeps so that it can be attached to again.
    /// </summary>
    /// <param name="argv">Program and arguments; no shell is involved. A program without a slash is looked for in the guest's PATH.</param>
    /// <param name="options">Default: see <see cref="StartOptions"/>.</param>
    /// <param name="cancellationToken">Until the process has been started; kills it.</param>
    /// <returns>The running process; dispose it.</returns>
    /// <exception cref="SandboxOperationException">
    /// It could not be started (<see cref="SandboxOperationException.FailedStep"/> says where), or more than 512 processes run; the sandbox is
    /// still usable.
    /// </exception>
    /// <exception cref="SandboxTimeoutException">The guest did not say that it was started.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<SandboxProcess> StartAsync(
        IReadOnlyList<string> argv, StartOptions? options = null, CancellationToken cancellationToken = default)
    {
        GuestText.ValidateArguments(argv, nameof(argv));
        options ??= StartOptions.Default;
        options.Validate();
        using SandboxUse use = await UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenStreamAsync(new OpenRequest { Op = Operations.Start, Start = Describe(argv, options) }).ConfigureAwait(false);
        return await SandboxProcess
            .OpenAsync(this, stream, $"starting {argv[0]}", options.Detached ? ProcessHold.Input : ProcessHold.Owner, options.Timeout, cancellationToken)
            .ConfigureAwait(false);
    }

    /// <summary>What all processes of the sandbox use together, now.</summary>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The guest's own counts.</returns>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<SandboxUsage> GetUsageAsync(CancellationToken cancellationToken = default)
    {
        UsageResult usage = await Processes
            .AskAsync(new OpenRequest { Op = Operations.Usage }, "reading usage", ProtocolJsonContext.Default.UsageResult, cancellationToken, uses: false)
            .ConfigureAwait(false);
        return new SandboxUsage
        {
            CpuTime = SandboxProcessExit.ToTime(usage.CpuMicroseconds),
            MemoryBytes = usage.MemoryBytes,
            MemoryPeakBytes = usage.MemoryPeakBytes,
            MemoryLimitBytes = usage.MemoryLimitBytes,
            Processes = usage.Pids,
            ProcessLimit = usage.PidsLimit,
            DiskReadBytes = usage.ReadBytes,
            DiskWrittenBytes = usage.WrittenBytes,
            OutOfMemoryKills = usage.OutOfMemoryKills,
            RefusedForks = usage.RefusedForks,
        };
    }

    private static ProcessStartRequest Describe(IReadOnlyList<string> argv, StartOptions options) => new()
    {
        Command = new ExecRequest
        {
            Argv = argv as string[] ?? [.. argv],
            Environment = options.EnvironmentVariables is { Count: > 0 } environment
                ? new Dictionary<string, string>(environment, StringComparer.Ordinal)
                : null,
            WorkingDirectory = options.WorkingDirectory,
            User = options.User,
            StandardInput = options.Input == ProcessInput.Open,
            TimeoutMilliseconds = options.Timeout is TimeSpan timeout ? (long)Math.Ceiling(timeout.TotalMilliseconds) : null,
        },
        Limits = options.Limits is ProcessLimits limits
            ? new ProcessLimitsRequest
            {
                CpuSeconds = (long?)limits.CpuTime?.TotalSeconds,
                AddressSpaceBytes = limits.AddressSpaceBytes,
                FileSizeBytes = limits.FileSizeBytes,
                OpenFiles = limits.OpenFiles,
            }
            : null,
        Terminal = options.Terminal is TerminalOptions terminal
            ? new TerminalRequest { Columns = terminal.Columns, Rows = terminal.Rows, Type = terminal.Type }
            : null,
        Detached = options.Detached,
        RingBytes = options.ScrollbackBytes,
        Lossless = (options.Delivery ?? (options.Detached ? OutputDelivery.Lossy : OutputDelivery.Lossless)) == OutputDelivery.Lossless,
        Report = options.Report,
    };
}
