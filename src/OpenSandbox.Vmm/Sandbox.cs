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
public sealed class Sandbox : IAsyncDisposable
{
    private readonly SandboxHost _host;
    private readonly VirtualMachine _vm;
    private readonly TaskCompletionSource<SandboxExit> _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _destroy = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _life;
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
        Resumed = resumed;
        _life = LiveAsync();
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
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new SandboxTimeoutException(Id, "ping", Options.RequestTimeout);
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
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<ExecResult> ExecAsync(
        IReadOnlyList<string> command, ExecOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= ExecOptions.Default;
        GuestStream stream = Open(command, options, options.StandardInput is not null);
        var output = new OutputBuffer(options.MaxOutputBytes);
        var error = new OutputBuffer(options.MaxOutputBytes);
        try
        {
            Task input = options.StandardInput is ReadOnlyMemory<byte> bytes
                ? SendInputAsync(stream, bytes, cancellationToken)
                : Task.CompletedTask;
            while (true)
            {
                using GuestData data = await stream.ReadAsync(cancellationToken).ConfigureAwait(false);
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
                .GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, cancellationToken)
                .ConfigureAwait(false);
            await input.ConfigureAwait(false);
            bool truncated = output.Truncated || error.Truncated;
            return new ExecResult(SandboxProcessExit.From(result), output.Take(), error.Take(), truncated);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(this, $"running {command[0]}", failure).ConfigureAwait(false);
        }
        finally
        {
            output.Dispose();
            error.Dispose();
            await stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Starts a command whose input and output are streamed.</summary>
    /// <param name="command">Program and arguments; no shell is involved.</param>
    /// <param name="options">Default: see <see cref="ExecOptions"/>; standard input is always open.</param>
    /// <param name="cancellationToken">Until the command has been started; kills it.</param>
    /// <returns>The running command; dispose it.</returns>
    /// <exception cref="SandboxOperationException">The program could not be started; the sandbox is still usable.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<SandboxProcess> StartProcessAsync(
        IReadOnlyList<string> command, ExecOptions? options = null, CancellationToken cancellationToken = default)
    {
        GuestStream stream = Open(command, options ?? ExecOptions.Default, standardInput: true);
        using CancellationTokenSource deadline = Deadlines.Start(Options.RequestTimeout, Options.TimeProvider, cancellationToken);
        try
        {
            StartedReply? started = await stream.GetStartedAsync(deadline.Token).ConfigureAwait(false);
            if (started is null)
            {
                // The command ended at once without a Started: its result, or the reason why it did not start, is there.
                await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, deadline.Token).ConfigureAwait(false);
            }

            return new SandboxProcess(this, stream, started?.Pid ?? 0);
        }
        catch (Exception failure)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            if (failure is OperationCanceledException && !cancellationToken.IsCancellationRequested)
            {
                throw new SandboxTimeoutException(Id, $"starting {command[0]}", Options.RequestTimeout, failure);
            }

            if (GuestErrors.Concerns(failure))
            {
                throw await GuestErrors.TranslateAsync(this, $"starting {command[0]}", failure).ConfigureAwait(false);
            }

            throw;
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

    private GuestStream Open(IReadOnlyList<string> command, ExecOptions options, bool standardInput)
    {
        GuestText.ValidateArguments(command, nameof(command));
        options.Validate();
        EnsureRunning();
        return OpenStream(DescribeExec(command, options, standardInput));
    }

    /// <summary>Opens a stream on the bulk port.</summary>
    internal GuestStream OpenStream(OpenRequest request)
    {
        try
        {
            return Channel.OpenStream(GuestPort.Bulk, request);
        }
        catch (Exception failure) when (failure is GuestChannelException or ObjectDisposedException)
        {
            SandboxExit exit = Volatile.Read(ref _exit)
                ?? new SandboxExit(SandboxExitReason.GuestMisbehaved, failure.Message, _vm.StandardErrorTail, _vm.ConsoleTail);
            throw new SandboxLostException(Id, exit, failure);
        }
    }

    /// <summary>Follows the VM to its end, whoever ends it, and frees everything.</summary>
    private async Task LiveAsync()
    {
        await Task.WhenAny(_destroy.Task, _vm.Exited, Channel.Completion).ConfigureAwait(false);
        SandboxExit exit;
        if (_destroy.Task.IsCompleted)
        {
            exit = new SandboxExit(SandboxExitReason.Destroyed, "its owner ended it");
        }
        else
        {
            exit = await FindOutWhyAsync().ConfigureAwait(false);
        }

        Volatile.Write(ref _state, (int)SandboxState.Stopping);
        await _vm.DisposeAsync().ConfigureAwait(false);
        Volatile.Write(ref _state, (int)SandboxState.Stopped);
        _host.Forget(this);
        if (exit.Reason == SandboxExitReason.Destroyed)
        {
            VmmLog.SandboxEnded(_host.Logger, Id, exit.Description);
        }
        else
        {
            VmmLog.SandboxLost(_host.Logger, Id, exit.Description);
        }

        Volatile.Write(ref _exit, exit);
        _stopped.TrySetResult(exit);
    }

    private async Task<SandboxExit> FindOutWhyAsync() =>
        await _vm.TryDescribeExitAsync().ConfigureAwait(false) ?? new SandboxExit(
            SandboxExitReason.GuestMisbehaved,
            Channel.Failure?.Message ?? "its channel was closed",
            _vm.StandardErrorTail,
            _vm.ConsoleTail);
}
