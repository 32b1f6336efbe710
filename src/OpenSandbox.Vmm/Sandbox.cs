using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <summary>A running microVM of its own, made by <see cref="SandboxHost.CreateAsync"/>. Ends when it is disposed.</summary>
/// <remarks>
/// Thread-safe: any number of commands and file operations may run at once. Every wait has a deadline or ends with the caller's token, and
/// with the sandbox. Once the sandbox is lost, every call throws <see cref="SandboxLostException"/> with the first cause.
/// </remarks>
/// <example>
/// <code>
/// await using SandboxHost host = await SandboxHost.StartAsync();
/// await using Sandbox sandbox = await host.CreateAsync(new SandboxSpec());
/// ExecResult result = await sandbox.ExecAsync(["python3", "-c", "print(6*7)"]);
/// Console.Write(result.StandardOutput);
/// </code>
/// </example>
public sealed partial class Sandbox : IAsyncDisposable
{
    private static readonly TimeSpan s_watchDelay = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_spaceRetry = TimeSpan.FromSeconds(1);

    private readonly SandboxHost _host;
    private readonly TaskCompletionSource<SandboxExit> _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly EgressGateway _gateway;
    private SandboxRun? _run;
    private SandboxExit? _exit;
    private int _state = (int)SandboxState.Running;

    /// <param name="host">Whose it is.</param>
    /// <param name="id">Its id.</param>
    /// <param name="spec">What it is made of.</param>
    /// <param name="registered">What is on disk of it, and the lock on that, which is taken over; nothing for an attached one.</param>
    internal Sandbox(SandboxHost host, string id, SandboxSpec spec, (SandboxLock Lock, SandboxManifest Manifest)? registered = null)
    {
        _host = host;
        Id = id;
        Spec = spec;
        (_lock, _manifest) = registered is { } known ? (known.Lock, known.Manifest) : (null, null);
        CreatedAt = _manifest?.CreatedAt ?? host.Options.TimeProvider.GetUtcNow();
        Files = new SandboxFiles(this);
        _terms = BeginExpiry();
        _gateway = new EgressGateway(id, spec.Egress, host.GatewayOptions(spec), host.Logger);
        Network = new SandboxNetwork(_gateway, RecordChanges);
        Processes = new SandboxProcesses(this);
    }

    /// <summary><c>sb-</c> and eight hexadecimal digits; unique within its host.</summary>
    public string Id { get; }

    /// <summary>What it was made of.</summary>
    public SandboxSpec Spec { get; }

    /// <summary>Where it is in its life, now.</summary>
    public SandboxState State => (SandboxState)Volatile.Read(ref _state);

    /// <summary>
    /// Whether the machine that it has now went on from saved memory (a wake, a fork), and not from the golden snapshot; no while it has none.
    /// </summary>
    public bool StartedFromMemory => Volatile.Read(ref _run)?.FromMemory ?? false;

    /// <summary>Whether a pool had the machine ready that it has now.</summary>
    internal bool IsFromPool => Volatile.Read(ref _run)?.FromPool ?? false;

    /// <summary>When it was ready.</summary>
    public DateTimeOffset CreatedAt { get; }

    /// <summary>Files of the guest.</summary>
    public SandboxFiles Files { get; }

    /// <summary>
    /// RAM that the guest's kernel reported when the sandbox was ready, bytes (somewhat below what was asked for); 0 while it does not run.
    /// </summary>
    public long GuestMemoryBytes => Volatile.Read(ref _run)?.Resumed.MemoryBytes ?? 0;

    /// <summary>Completes when the sandbox has ended and nothing of it is left. Never fails.</summary>
    public Task<SandboxExit> Stopped => _stopped.Task;

    /// <summary>What the agent said when it was ready, with its own timings.</summary>
    internal ResumeResult Resumed => Run.Resumed;

    internal GuestChannel Channel => Run.Channel;

    internal VirtualMachine Machine => Run.Machine;

    /// <summary>The machine behind the sandbox now.</summary>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    /// <exception cref="SandboxStateException">There is none at the moment.</exception>
    internal SandboxRun Run => Volatile.Read(ref _run) ?? throw NotRunning();

    internal SandboxHostOptions Options => _host.Options;

    /// <summary>Asks the agent for a sign of life.</summary>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The round trip's duration.</returns>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async ValueTask<TimeSpan> PingAsync(CancellationToken cancellationToken = default)
    {
        using CancellationTokenSource deadline = Deadlines.Start(Options.RequestTimeout, Options.TimeProvider, cancellationToken);
        try
        {
            return await Channel.PingAsync(ReadOnlyMemory<byte>.Empty, deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException late)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new SandboxTimeoutException(Id, "ping", Options.RequestTimeout, late);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(this, "ping", failure).ConfigureAwait(false);
        }
    }

    /// <summary>Runs a command to its end and collects its output.</summary>
    /// <param name="command">Program and arguments; no shell is involved. A program without a slash is looked for in the guest's PATH.</param>
    /// <param name="options">Default: see <see cref="ExecOptions"/>.</param>
    /// <param name="cancellationToken">Kills the command and everything it started.</param>
    /// <returns>Exit status and output; a non-zero exit code is no error.</returns>
    /// <exception cref="SandboxOperationException">The program could not be started; the sandbox is still usable.</exception>
    /// <exception cref="SandboxTimeoutException">
    /// The command's own timeout passed and the guest did not say so within <see cref="SandboxHostOptions.RequestTimeout"/>.
    /// </exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<ExecResult> ExecAsync(
        IReadOnlyList<string> command, ExecOptions? options = null, CancellationToken cancellationToken = default) =>
        IsExecWatched ? ExecWatchedAsync(command, options, cancellationToken) : ExecNowAsync(command, options, cancellationToken);

    private async Task<ExecResult> ExecNowAsync(IReadOnlyList<string> command, ExecOptions? options, CancellationToken cancellationToken)
    {
        options ??= ExecOptions.Default;
        GuestText.ValidateArguments(command, nameof(command));
        options.Validate();
        GuestStream stream = await UseAndOpenAsync(DescribeExec(command, options, options.StandardInput is not null), cancellationToken)
            .ConfigureAwait(false);
        try
        {
            return await CollectAsync(stream, command[0], options, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            LeaveUse();
        }
    }

    /// <summary>Sends the input of a command that has been asked for, and takes its output and result. Disposes of the stream.</summary>
    internal async Task<ExecResult> CollectAsync(
        GuestStream stream, string program, ExecOptions options, CancellationToken cancellationToken)
    {
        // The guest enforces the command's timeout. That the guest answers at all is a deadline of ours.
        using CancellationTokenSource? deadline = options.Timeout is TimeSpan timeout
            ? Deadlines.Start(timeout + Options.RequestTimeout, Options.TimeProvider, cancellationToken)
            : null;
        CancellationToken token = deadline?.Token ?? cancellationToken;
        var output = new OutputBuffer(options.MaxOutputBytes, options.AllowOutput);
        var error = new OutputBuffer(options.MaxOutputBytes, options.AllowOutput);
        try
        {
            Task input = options.StandardInput is ReadOnlyMemory<byte> bytes
                ? SendInputAsync(stream, bytes, token)
                : Task.CompletedTask;
            while (true)
            {
                using GuestData data = await stream.ReadAsync(token).ConfigureAwait(false);
                if (data.IsEnd)
                {
                    break;
                }

                if (data.Channel == DataChannel.StandardError)
                {
                    error.Append(data.Bytes.Span);
                }
                else
                {
                    output.Append(data.Bytes.Span);
                }
            }

            ExecResultMessage result = await stream
                .GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, token)
                .ConfigureAwait(false);
            await input.ConfigureAwait(false);
            bool truncated = output.Truncated || error.Truncated;
            return new ExecResult(SandboxProcessExit.From(result), output.Take(), error.Take(), truncated);
        }
        catch (OperationCanceledException late) when (deadline is not null)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new SandboxTimeoutException(Id, $"running {program} with a timeout", options.Timeout!.Value + Options.RequestTimeout, late);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(this, $"running {program}", failure).ConfigureAwait(false);
        }
        finally
        {
            output.Dispose();
            error.Dispose();
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Throws unless the sandbox runs.</summary>
    internal void EnsureRunning()
    {
        if (State != SandboxState.Running)
        {
            throw NotRunning();
        }
    }

    private SandboxException NotRunning() => (Volatile.Read(ref _exit) ?? Volatile.Read(ref _expired) ?? Volatile.Read(ref _crash)) is SandboxExit exit
        ? new SandboxLostException(Id, exit)
        : new SandboxStateException(Id, State, SandboxState.Running);

    private static async Task SendInputAsync(GuestStream stream, ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        try
        {
            if (await stream.WriteAsync(bytes, cancellationToken).ConfigureAwait(false))
            {
                await stream.CompleteWritesAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        catch (Exception failure) when (failure is GuestChannelException or GuestOperationException or ObjectDisposedException)
        {
            // The reader of the same stream meets the same failure and reports it.
            return;
        }
    }

    /// <summary>The request behind a command; the performance harness sends the same.</summary>
    internal static OpenRequest DescribeExec(IReadOnlyList<string> command, ExecOptions options, bool standardInput) => new()
    {
        Op = Operations.Exec,
        Exec = new ExecRequest
        {
            Argv = command as string[] ?? [.. command],
            Environment = options.EnvironmentVariables is { Count: > 0 } environment ? new Dictionary<string, string>(environment, StringComparer.Ordinal) : null,
            WorkingDirectory = options.WorkingDirectory,
            User = options.User,
            StandardInput = standardInput,
            TimeoutMilliseconds = options.Timeout is TimeSpan timeout ? (long)Math.Ceiling(timeout.TotalMilliseconds) : null,
        },
    };

    /// <summary>Opens a stream on the bulk port.</summary>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    internal ValueTask<GuestStream> OpenStreamAsync(OpenRequest request)
    {
        try
        {
            return new ValueTask<GuestStream>(Channel.OpenStream(GuestPort.Bulk, request));
        }
        catch (Exception failure) when (failure is GuestChannelException or ObjectDisposedException)
        {
            return new ValueTask<GuestStream>(FailAsync(failure));
        }

        async Task<GuestStream> FailAsync(Exception failure) => throw await ExplainEndAsync(failure).ConfigureAwait(false);
    }
}
