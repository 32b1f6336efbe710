using System.Buffers.Binary;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <summary>A process in the guest, as one reader of its output sees it.</summary>
/// <remarks>
/// <para>Reading, writing, signalling and waiting may go on at the same time; one read and one write at a time.</para>
/// <para>The output is kept in the guest (<see cref="StartOptions.ScrollbackBytes"/>), so a handle that does not read, or is not there,
/// does not stop the process, unless the handle is lossless: then the process waits when the scrollback is full.</para>
/// <para>Disposing a handle kills the process, with everything it started, if the handle came from a start that was not
/// <see cref="StartOptions.Detached"/>. Otherwise it only lets go.</para>
/// </remarks>
public sealed class SandboxProcess : IAsyncDisposable
{
    private readonly Sandbox _sandbox;
    private readonly GuestStream _stream;
    private readonly ProcessHold _hold;
    private readonly TimeSpan? _timeout;
    private readonly long _started;
    private readonly Lock _resultGate = new();
    private readonly byte[] _gap = new byte[sizeof(long)];
    private int _gapLength;
    private long _sequence;
    private bool _atEnd;
    private SandboxProcessExit? _exit;
    private Task<SandboxProcessExit>? _result;
    private int _disposed;

    private SandboxProcess(Sandbox sandbox, GuestStream stream, StartedReply started, ProcessAttached attached, ProcessHold hold, TimeSpan? timeout)
    {
        _sandbox = sandbox;
        _stream = stream;
        _hold = hold;
        _timeout = timeout;
        _started = sandbox.Options.TimeProvider.GetTimestamp();
        _sequence = attached.Sequence;
        Id = attached.Id;
        Pid = started.Pid ?? 0;
        FirstSequence = attached.Sequence;
        ReplayEnd = attached.ReplayEnd;
        HasTerminal = attached.Terminal;
    }

    /// <summary>8 hexadecimal digits, unique in the sandbox; for <see cref="Sandbox.Processes"/>.</summary>
    public string Id { get; }

    /// <summary>Process id in the guest.</summary>
    public int Pid { get; }

    /// <summary>Whether it runs on a terminal.</summary>
    public bool HasTerminal { get; }

    /// <summary>Sequence number of the first byte that this handle reads.</summary>
    public long FirstSequence { get; }

    /// <summary>
    /// Sequence number at which output begins that was not there yet when this handle was attached: what has a smaller number is replay. Equal
    /// to <see cref="FirstSequence"/> where nothing is replayed.
    /// </summary>
    public long ReplayEnd { get; }

    /// <summary>Reads the next piece of output, in the order in which it came.</summary>
    /// <param name="buffer">At least one byte.</param>
    /// <param name="cancellationToken">Leaves the output unread; the process runs on.</param>
    /// <returns>Which output, its place and how many bytes; or a gap; or, again and again, the end.</returns>
    /// <exception cref="SandboxOperationException">The guest sent something impossible.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async ValueTask<SandboxOutput> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        (SandboxOutput output, _) = await ReadAllAsync(buffer, cancellationToken).ConfigureAwait(false);
        while (output.Kind == SandboxOutputKind.End && !_atEnd)
        {
            (output, _) = await ReadAllAsync(buffer, cancellationToken).ConfigureAwait(false); // a report, which only shells have
        }

        return output;
    }

    /// <summary>Writes to standard input; waits while the process does not read.</summary>
    /// <param name="bytes">What to write.</param>
    /// <param name="cancellationToken">Part of the bytes may have been written, and nothing more can be through this handle.</param>
    /// <returns><see langword="false"/> if the process has ended: nothing more can be written. Bytes that it does not read are dropped.</returns>
    /// <exception cref="InvalidOperationException">The handle was attached without input, or its input was completed.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async ValueTask<bool> WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default)
    {
        ThrowIfNoInput();
        try
        {
            _sandbox.Touch();
            return await _stream.WriteAsync(bytes, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, "writing a process's input", failure).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Ends standard input, for all handles: the process reads end of file. On a terminal it types the end-of-file character (Ctrl-D) instead,
    /// twice where a line was begun, after which other handles may go on to write.
    /// </summary>
    /// <param name="cancellationToken">The input stays open.</param>
    /// <returns>When it has been sent.</returns>
    /// <exception cref="InvalidOperationException">The handle was attached without input.</exception>
    public async ValueTask CompleteInputAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfNoInput();
        try
        {
            await _stream.CompleteWritesAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, "ending a process's input", failure).ConfigureAwait(false);
        }
    }

    /// <summary>Waits for the end of the process, whether its output is read or not.</summary>
    /// <param name="cancellationToken">Stops waiting; the process runs on.</param>
    /// <returns>How it ended.</returns>
    /// <remarks>A process that waits for a lossless reader to make room does not end: whoever waits without reading is lossy, or has room.</remarks>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<SandboxProcessExit> WaitAsync(CancellationToken cancellationToken = default)
    {
        if (_exit is SandboxProcessExit known)
        {
            return known;
        }

        // The guest enforces the process's timeout. That the guest answers at all is a deadline of ours.
        TimeSpan limit = (_timeout ?? TimeSpan.Zero) + _sandbox.Options.RequestTimeout;
        TimeSpan left = limit - _sandbox.Options.TimeProvider.GetElapsedTime(_started);
        using CancellationTokenSource? deadline = _timeout is null
            ? null
            : Deadlines.Start(left > TimeSpan.Zero ? left : TimeSpan.FromMilliseconds(1), _sandbox.Options.TimeProvider, cancellationToken);
        CancellationToken token = deadline?.Token ?? cancellationToken;
        try
        {
            return _exit = _atEnd || _stream.IsEnded
                ? await TakeResult().WaitAsync(token).ConfigureAwait(false)
                : await _sandbox.Processes.WaitAsync(Id, token).ConfigureAwait(false);
        }
        catch (OperationCanceledException late) when (deadline is not null)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new SandboxTimeoutException(_sandbox.Id, "waiting for a process with a timeout", limit, late);
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, "waiting for a process", failure).ConfigureAwait(false);
        }
    }

    /// <summary>Sends a signal to the process's process group.</summary>
    /// <param name="signal">1 to 64.</param>
    /// <param name="cancellationToken">The signal may have been sent.</param>
    /// <returns><see langword="false"/> if the process has already ended.</returns>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public ValueTask<bool> SignalAsync(int signal, CancellationToken cancellationToken = default) =>
        new(_sandbox.Processes.SignalAsync(Id, signal, cancellationToken));

    /// <summary>Kills the process and everything it started.</summary>
    /// <param name="cancellationToken">The kill may have been sent.</param>
    /// <returns><see langword="false"/> if nothing of it was left.</returns>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public ValueTask<bool> KillAsync(CancellationToken cancellationToken = default) =>
        new(_sandbox.Processes.KillAsync(Id, cancellationToken));

    /// <summary>Changes the size of the terminal; its foreground processes get SIGWINCH.</summary>
    /// <param name="columns">1 to 65,535.</param>
    /// <param name="rows">1 to 65,535.</param>
    /// <param name="cancellationToken">The size may have been changed.</param>
    /// <returns>When it has been changed; <see langword="false"/> if the process has already ended.</returns>
    /// <exception cref="SandboxOperationException">The process has no terminal.</exception>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public ValueTask<bool> ResizeTerminalAsync(int columns, int rows, CancellationToken cancellationToken = default) =>
        new(_sandbox.Processes.ResizeTerminalAsync(Id, columns, rows, cancellationToken));

    /// <summary>
    /// Lets go of the process. If this handle came from a start that was not <see cref="StartOptions.Detached"/>, the process is killed, and
    /// also what it left running; on a terminal its session gets SIGHUP half a second before that.
    /// </summary>
    /// <returns>When that has been sent.</returns>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        bool ended = _exit is not null || _stream.IsEnded;
        try
        {
            // While it runs, the agent kills it when its owner lets go.
            if (_hold != ProcessHold.Owner || !ended || !(_exit ?? await WaitAsync().ConfigureAwait(false)).LeftProcesses)
            {
                return;
            }

            await _sandbox.Processes.KillAsync(Id).ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is SandboxLostException or SandboxStateException or SandboxTimeoutException or SandboxOperationException)
        {
            // Nothing is left in a sandbox that is gone, and the guest that does not know the process any more has nothing to kill.
            return;
        }
        finally
        {
            await _stream.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Reads and drops the output to its end, then gives the handle up without killing what the process has left running. Unless it throws,
    /// the handle is of no more use; otherwise it is as it was.
    /// </summary>
    /// <returns>Whether something that it started goes on.</returns>
    internal async Task<bool> DrainAndLetGoAsync(CancellationToken cancellationToken)
    {
        byte[] dropped = new byte[16 << 10];
        while (!_atEnd)
        {
            _ = await ReadAllAsync(dropped, cancellationToken).ConfigureAwait(false);
        }

        SandboxProcessExit exit = await WaitAsync(cancellationToken).ConfigureAwait(false);
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            await _stream.DisposeAsync().ConfigureAwait(false);
        }

        return exit.LeftProcesses;
    }

    /// <summary>Takes a stream that was asked to start or attach; disposes of it when that failed.</summary>
    internal static async Task<SandboxProcess> OpenAsync(
        Sandbox sandbox, GuestStream stream, string what, ProcessHold hold, TimeSpan? timeout, CancellationToken cancellationToken)
    {
        TimeSpan limit = sandbox.Options.RequestTimeout;
        using CancellationTokenSource deadline = Deadlines.Start(limit, sandbox.Options.TimeProvider, cancellationToken);
        try
        {
            StartedReply? started = await stream.GetStartedAsync(deadline.Token).ConfigureAwait(false);
            if (started?.Process is not ProcessAttached { Sequence: >= 0 } attached || attached.ReplayEnd < attached.Sequence)
            {
                throw new SandboxOperationException(
                    SandboxErrorCode.OperationFailed, sandbox.Id, 0, $"sandbox {sandbox.Id}: {what}: the guest's answer does not name a process");
            }

            return new SandboxProcess(sandbox, stream, started, attached, hold, timeout);
        }
        catch (Exception failure)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            if (failure is OperationCanceledException)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw new SandboxTimeoutException(sandbox.Id, what, limit, failure);
            }

            if (GuestErrors.Concerns(failure))
            {
                throw await GuestErrors.TranslateAsync(sandbox, what, failure).ConfigureAwait(false);
            }

            throw;
        }
    }

    /// <summary>As <see cref="ReadAsync"/>, reports included: those come as an end that is none, with their number of bytes.</summary>
    internal async ValueTask<(SandboxOutput Output, bool IsReport)> ReadAllAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                (DataChannel channel, int count) = await _stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
                _sandbox.Touch();
                if (count == 0)
                {
                    _atEnd = true;
                    return (new SandboxOutput(SandboxOutputKind.End, _sequence, 0), false);
                }

                if (channel == DataChannel.Gap)
                {
                    if (TakeGap(buffer.Span[..count]) is SandboxOutput gap)
                    {
                        return (gap, false);
                    }

                    continue;
                }

                long sequence = _sequence;
                _sequence += count;
                SandboxOutputKind kind = channel switch
                {
                    DataChannel.StandardError => SandboxOutputKind.StandardError,
                    DataChannel.Report => SandboxOutputKind.End,
                    _ => SandboxOutputKind.StandardOutput,
                };
                return (new SandboxOutput(kind, sequence, count), kind == SandboxOutputKind.End);
            }
        }
        catch (Exception failure) when (GuestErrors.Concerns(failure))
        {
            throw await GuestErrors.TranslateAsync(_sandbox, "reading a process's output", failure).ConfigureAwait(false);
        }
    }

    /// <summary>The result of a stream that has ended, once for all who wait.</summary>
    private Task<SandboxProcessExit> TakeResult()
    {
        lock (_resultGate)
        {
            return _result ??= ReadAsync(this);
        }

        static async Task<SandboxProcessExit> ReadAsync(SandboxProcess process) => SandboxProcessExit.From(
            await process._stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage).ConfigureAwait(false));
    }

    /// <summary>Takes bytes of gaps, which may arrive in pieces, and several at a time.</summary>
    /// <returns>The gap, once it is complete.</returns>
    private SandboxOutput? TakeGap(ReadOnlySpan<byte> bytes)
    {
        long before = _sequence;
        foreach (byte next in bytes)
        {
            _gap[_gapLength++] = next;
            if (_gapLength == _gap.Length)
            {
                _gapLength = 0;
                long resumed = BinaryPrimitives.ReadInt64LittleEndian(_gap);
                if (resumed < _sequence)
                {
                    throw new SandboxOperationException(
                        SandboxErrorCode.OperationFailed, _sandbox.Id, 0, $"sandbox {_sandbox.Id}: a gap in a process's output goes backwards");
                }

                _sequence = resumed;
            }
        }

        return _gapLength == 0 && _sequence > before ? new SandboxOutput(SandboxOutputKind.Gap, before, 0, _sequence - before) : null;
    }

    private void ThrowIfNoInput()
    {
        if (_hold == ProcessHold.Reader)
        {
            throw new InvalidOperationException("This handle was attached without input (AttachOptions.Input).");
        }
    }
}
