using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <summary>A running command whose input and output are streamed.</summary>
/// <remarks>
/// Reading, writing and signalling may go on at the same time, one caller each. Output that is not read is kept, up to 256 KiB; then the
/// command waits, as on a full pipe. Disposing a command that still runs kills it with everything it started.
/// </remarks>
public sealed class SandboxProcess : IAsyncDisposable
{
    private readonly Sandbox _sandbox;
    private readonly GuestStream _stream;
    private readonly TimeSpan? _timeout;
    private readonly long _started;

    internal SandboxProcess(Sandbox sandbox, GuestStream stream, int pid, TimeSpan? timeout)
    {
        _timeout = timeout;
        _started = sandbox.Options.TimeProvider.GetTimestamp();
        _sandbox = sandbox;
        _stream = stream;
        Pid = pid;
    }

    /// <summary>Process id in the guest.</summary>
    public int Pid { get; }

    /// <summary>Reads the next piece of output, in the order in which the command wrote it.</summary>
    /// <param name="buffer">At least one byte.</param>
    /// <param name="cancellationToken">Leaves the output unread; the command runs on.</param>
    /// <returns>Which output and how many bytes; 0 bytes when both outputs have ended.</returns>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async ValueTask<SandboxOutput> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            (DataChannel channel, int count) = await _stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
            return new SandboxOutput(channel == DataChannel.StandardError, count);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, "reading a command's output", failure).ConfigureAwait(false);
        }
    }

    /// <summary>Writes to standard input; waits while the command does not read.</summary>
    /// <param name="bytes">What to write.</param>
    /// <param name="cancellationToken">Part of the bytes may have been written; the command runs on.</param>
    /// <returns><see langword="false"/> if the command has ended or closed its input: nothing more can be written.</returns>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async ValueTask<bool> WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default)
    {
        try
        {
            return await _stream.WriteAsync(bytes, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, "writing a command's input", failure).ConfigureAwait(false);
        }
    }

    /// <summary>Ends standard input: the command reads end of file.</summary>
    /// <param name="cancellationToken">The input stays open.</param>
    /// <returns>When it has been sent.</returns>
    public async ValueTask CompleteInputAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            await _stream.CompleteWritesAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, "ending a command's input", failure).ConfigureAwait(false);
        }
    }

    /// <summary>Sends a signal to the command's process group.</summary>
    /// <param name="signal">1 to 64.</param>
    /// <param name="cancellationToken">The signal may have been sent.</param>
    /// <returns><see langword="false"/> if the command has already ended.</returns>
    public ValueTask<bool> SignalAsync(int signal, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(signal, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(signal, 64);
        return SendSignalAsync(new SignalRequest { Signal = signal }, cancellationToken);
    }

    /// <summary>Kills the command and everything it started.</summary>
    /// <param name="cancellationToken">The kill may have been sent.</param>
    /// <returns><see langword="false"/> if the command has already ended.</returns>
    public ValueTask<bool> KillAsync(CancellationToken cancellationToken = default) =>
        SendSignalAsync(new SignalRequest { Signal = 9, WholeCgroup = true }, cancellationToken);

    /// <summary>Waits for the end of the command. Output that nobody reads while waiting is kept until it has to wait.</summary>
    /// <param name="cancellationToken">Stops waiting; the command runs on.</param>
    /// <returns>How it ended.</returns>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<SandboxProcessExit> WaitForExitAsync(CancellationToken cancellationToken = default)
    {
        // The guest enforces the command's timeout. That the guest answers at all is a deadline of ours.
        TimeSpan limit = (_timeout ?? TimeSpan.Zero) + _sandbox.Options.RequestTimeout;
        TimeSpan left = limit - _sandbox.Options.TimeProvider.GetElapsedTime(_started);
        using CancellationTokenSource? deadline = _timeout is null
            ? null
            : Deadlines.Start(left > TimeSpan.Zero ? left : TimeSpan.FromMilliseconds(1), _sandbox.Options.TimeProvider, cancellationToken);
        try
        {
            return SandboxProcessExit.From(await _stream
                .GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, deadline?.Token ?? cancellationToken)
                .ConfigureAwait(false));
        }
        catch (OperationCanceledException late) when (deadline is not null)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new SandboxTimeoutException(_sandbox.Id, "waiting for a command with a timeout", limit, late);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, "waiting for a command", failure).ConfigureAwait(false);
        }
    }

    /// <summary>Kills the command if it still runs.</summary>
    /// <returns>When the kill has been sent.</returns>
    public ValueTask DisposeAsync() => _stream.DisposeAsync();

    private async ValueTask<bool> SendSignalAsync(SignalRequest request, CancellationToken cancellationToken)
    {
        try
        {
            return await _stream.SignalAsync(request, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, "signalling a command", failure).ConfigureAwait(false);
        }
    }
}
