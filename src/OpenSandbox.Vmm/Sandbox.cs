using System.Runtime.InteropServices;
using OpenSandbox.Interop;
using OpenSandbox.Qmp;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Qemu;

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
    private readonly VirtualMachine _vm;
    private readonly TaskCompletionSource<SandboxExit> _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _destroy = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _ending = new();
    private readonly EgressGateway _gateway;
    private Task _life = Task.CompletedTask;
    private SandboxExit? _exit;
    private int _state = (int)SandboxState.Running;

    internal Sandbox(SandboxHost host, string id, SandboxSpec spec, VirtualMachine vm, ResumeResult resumed)
    {
        _host = host;
        _vm = vm;
        Id = id;
        Spec = spec;
        CreatedAt = host.Options.TimeProvider.GetUtcNow();
        Files = new SandboxFiles(this);
        _gateway = new EgressGateway(id, spec.Egress, host.GatewayOptions(spec), host.Logger);
        Network = new SandboxNetwork(_gateway);
        Processes = new SandboxProcesses(this);
        Resumed = resumed;
        _resizer = new SandboxResizer(this, host, vm);
    }

    /// <summary><c>sb-</c> and eight hexadecimal digits; unique within its host.</summary>
    public string Id { get; }

    /// <summary>What it was made of.</summary>
    public SandboxSpec Spec { get; }

    /// <summary>Where it is in its life, now.</summary>
    public SandboxState State => (SandboxState)Volatile.Read(ref _state);

    /// <summary>When it was ready.</summary>
    public DateTimeOffset CreatedAt { get; }

    /// <summary>Files of the guest.</summary>
    public SandboxFiles Files { get; }

    /// <summary>RAM that the guest's kernel reported when the sandbox was ready, bytes (somewhat below what was asked for).</summary>
    public long GuestMemoryBytes => Resumed.MemoryBytes;

    /// <summary>Completes when the sandbox has ended and nothing of it is left. Never fails.</summary>
    public Task<SandboxExit> Stopped => _stopped.Task;

    /// <summary>What the agent said when it was ready, with its own timings.</summary>
    internal ResumeResult Resumed { get; }

    internal GuestChannel Channel => _vm.Channel;

    internal VirtualMachine Machine => _vm;

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
    public async Task<ExecResult> ExecAsync(
        IReadOnlyList<string> command, ExecOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= ExecOptions.Default;
        GuestStream stream = await OpenAsync(command, options, options.StandardInput is not null).ConfigureAwait(false);
        return await CollectAsync(stream, command[0], options, cancellationToken).ConfigureAwait(false);
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
        var output = new OutputBuffer(options.MaxOutputBytes);
        var error = new OutputBuffer(options.MaxOutputBytes);
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

    /// <summary>Ends the sandbox at once, with everything in it, and waits until nothing of it is left.</summary>
    /// <returns>When the VM is gone and its disks are freed. Never fails; more calls wait for the same end.</returns>
    public async ValueTask DisposeAsync()
    {
        Interlocked.CompareExchange(ref _state, (int)SandboxState.Stopping, (int)SandboxState.Running);
        _destroy.TrySetResult();
        await _life.ConfigureAwait(false);
    }

    /// <summary>Throws unless the sandbox runs.</summary>
    internal void EnsureRunning()
    {
        if (State != SandboxState.Running)
        {
            throw Volatile.Read(ref _exit) is SandboxExit exit
                ? new SandboxLostException(Id, exit)
                : new SandboxStateException(Id, State, SandboxState.Running);
        }
    }

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

    private ValueTask<GuestStream> OpenAsync(IReadOnlyList<string> command, ExecOptions options, bool standardInput)
    {
        GuestText.ValidateArguments(command, nameof(command));
        options.Validate();
        EnsureRunning();
        return OpenStreamAsync(DescribeExec(command, options, standardInput));
    }

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

        async Task<GuestStream> FailAsync(Exception failure) =>
            throw new SandboxLostException(Id, await GetExitAsync(failure).ConfigureAwait(false), failure);
    }

    /// <summary>Why the sandbox ended, once that is known; bounded, so that no caller waits for an end that does not come.</summary>
    internal async ValueTask<SandboxExit> GetExitAsync(Exception failure)
    {
        if (Volatile.Read(ref _exit) is SandboxExit known)
        {
            return known;
        }

        try
        {
            return await Stopped.WaitAsync(Options.KillTimeout + Options.KillTimeout, Options.TimeProvider).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return new SandboxExit(SandboxExitReason.GuestMisbehaved, failure.Message, _vm.StandardErrorTail, _vm.ConsoleTail);
        }
    }

    /// <summary>Starts to follow the VM; from here on the sandbox ends with it. Called once, when the host knows the sandbox.</summary>
    internal void Begin()
    {
        // Without disks there is nothing that could run full.
        Task network = new GuestNetworkService(Id, Channel, _gateway, HandleScaleRequestAsync, _host.Logger).RunAsync();
        _life = LiveAsync(Spec.Image is null ? network : Task.WhenAll(network, Task.Run(WatchDisksAsync)));
    }

    /// <summary>Follows the VM to its end, whoever ends it, and frees everything.</summary>
    private async Task LiveAsync(Task watch)
    {
        await Task.WhenAny(_destroy.Task, _vm.Exited, Channel.Completion).ConfigureAwait(false);
        SandboxExit exit = _destroy.Task.IsCompleted
            ? new SandboxExit(SandboxExitReason.Destroyed, "its owner ended it")
            : await FindOutWhyAsync().ConfigureAwait(false);

        // The reason is known before the state says that there is one.
        Volatile.Write(ref _exit, exit);
        Volatile.Write(ref _state, (int)SandboxState.Stopping);
        try
        {
            await _ending.CancelAsync().ConfigureAwait(false);
            await _gateway.DisposeAsync().ConfigureAwait(false);
            await _vm.DisposeAsync().ConfigureAwait(false);
            await watch.ConfigureAwait(false);
        }
        finally
        {
            Volatile.Write(ref _state, (int)SandboxState.Stopped);
            _host.Forget(this);
            _stopped.TrySetResult(exit);
            _ending.Dispose();
        }

        if (exit.Reason == SandboxExitReason.Destroyed)
        {
            VmmLog.SandboxEnded(_host.Logger, Id, exit.Description);
        }
        else
        {
            VmmLog.SandboxLost(_host.Logger, Id, exit.Description);
        }
    }

    private async Task<SandboxExit> FindOutWhyAsync() =>
        await _vm.TryDescribeExitAsync().ConfigureAwait(false) ?? new SandboxExit(
            SandboxExitReason.GuestMisbehaved,
            Channel.Failure?.Message ?? "its channel was closed",
            _vm.StandardErrorTail,
            _vm.ConsoleTail);

    /// <summary>
    /// Continues a guest that QEMU stopped because the host's disk is full. Nothing is lost: the write that failed is made again. There is
    /// no event for space that has become free, so it is tried again after a while; a write that fails again is the next event.
    /// </summary>
    private async Task WatchDisksAsync()
    {
        CancellationToken ending = _ending.Token;
        try
        {
            // The monitor is connected when the first command has had the CPUs for itself. What happened until then is in the status.
            await Task.Delay(s_watchDelay, Options.TimeProvider, ending).ConfigureAwait(false);
            QmpClient qmp = await _vm.GetQmpAsync().WaitAsync(ending).ConfigureAwait(false);
            using QmpEventSubscription errors = qmp.Subscribe("BLOCK_IO_ERROR");
            bool full = (await qmp.QueryStatusAsync(ending).ConfigureAwait(false)).Status == "io-error";
            while (true)
            {
                if (full)
                {
                    VmmLog.HostDiskFull(_host.Logger, Id);
                    await Task.Delay(s_spaceRetry, Options.TimeProvider, ending).ConfigureAwait(false);
                    await qmp.ContinueAsync(ending).ConfigureAwait(false);
                }

                full = SaysNoSpace(await errors.ReadAsync(ending).ConfigureAwait(false));
            }
        }
        catch (Exception ended) when (ended is OperationCanceledException or QmpException or ObjectDisposedException)
        {
            // The VM has ended, or its monitor has: who follows its life finds out why.
            VmmLog.MonitorFailed(_host.Logger, Id, ended);
        }
    }

    private static bool SaysNoSpace(QmpEvent error) =>
        error.Data.ValueKind == System.Text.Json.JsonValueKind.Object
        && error.Data.TryGetProperty("nospace", out System.Text.Json.JsonElement full)
        && full.ValueKind == System.Text.Json.JsonValueKind.True;
}
