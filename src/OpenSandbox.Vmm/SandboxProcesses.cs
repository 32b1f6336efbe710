using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using OpenSandbox.VirtioSerial;
using OpenSandbox.Vmm.Expiry;

namespace OpenSandbox.Vmm;

/// <summary>The processes of one sandbox: those that run, and started ones that have ended lately.</summary>
/// <remarks>
/// <para>Thread-safe. Ids are those of <see cref="SandboxProcess.Id"/> and <see cref="SandboxProcessInfo.Id"/>; one that the guest does not
/// know throws <see cref="SandboxOperationException"/> with <see cref="SandboxErrorCode.NotFound"/>.</para>
/// <para>Exit status and output of a started process are kept for 5 minutes after its end, of at most 64 ended processes, the oldest of which
/// go first; longer while it is attached to.</para>
/// </remarks>
public sealed class SandboxProcesses
{
    private const int MaxLineBytes = 32 << 10;
    private const int MaxEntries = 16_384;

    /// <summary>Largest range that <see cref="ReadLogAsync"/> returns, bytes.</summary>
    public const int MaxLogBytes = 16 << 20;

    private readonly Sandbox _sandbox;

    internal SandboxProcesses(Sandbox sandbox) => _sandbox = sandbox;

    /// <summary>Lists started processes and commands of <c>ExecAsync</c>, the oldest first.</summary>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>One moment's processes.</returns>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<IReadOnlyList<SandboxProcessInfo>> ListAsync(CancellationToken cancellationToken = default)
    {
        var processes = new List<SandboxProcessInfo>();
        var lines = new LineSplitter(MaxLineBytes);
        try
        {
            await RequestAsync(
                new OpenRequest { Op = Operations.Processes },
                "listing processes",
                ProtocolJsonContext.Default.ListResult,
                data => lines.Add(data.Span, line => processes.Add(Read(line, processes.Count))),
                cancellationToken).ConfigureAwait(false);
        }
        catch (Exception broken) when (broken is JsonException or InvalidDataException)
        {
            throw new SandboxOperationException(
                SandboxErrorCode.OperationFailed, _sandbox.Id, 0, $"sandbox {_sandbox.Id}: listing processes: {broken.Message}", broken);
        }

        return processes;
    }

    /// <summary>Attaches to a started process, running or ended: replays what is kept of its output, and goes on with what comes.</summary>
    /// <param name="id">The process.</param>
    /// <param name="options">Default: see <see cref="AttachOptions"/>.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>Another handle; dispose it, which does nothing to the process.</returns>
    /// <exception cref="SandboxOperationException">No such process, a command of <c>ExecAsync</c>, or 16 handles are attached.</exception>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<SandboxProcess> AttachAsync(string id, AttachOptions? options = null, CancellationToken cancellationToken = default)
    {
        options ??= AttachOptions.Default;
        options.Validate();
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenAsync(Operations.Attach, new ProcessRequest
        {
            Id = Checked(id),
            From = options.FromSequence,
            FromNow = options.FromNow,
            Lossless = options.Delivery == OutputDelivery.Lossless,
            Input = options.Input,
        }).ConfigureAwait(false);
        return await SandboxProcess
            .OpenAsync(_sandbox, stream, $"attaching to process {id}", options.Input ? ProcessHold.Input : ProcessHold.Reader, null, cancellationToken)
            .ConfigureAwait(false);
    }

    /// <summary>Waits for the end of a started process.</summary>
    /// <param name="id">The process.</param>
    /// <param name="cancellationToken">Stops waiting; the process runs on.</param>
    /// <returns>How it ended.</returns>
    /// <exception cref="SandboxOperationException">No such process, or a command of <c>ExecAsync</c>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<SandboxProcessExit> WaitAsync(string id, CancellationToken cancellationToken = default)
    {
        using SandboxUse use = await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false);
        GuestStream stream = await OpenAsync(Operations.Wait, new ProcessRequest { Id = Checked(id) }).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            try
            {
                return SandboxProcessExit.From(
                    await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, cancellationToken).ConfigureAwait(false));
            }
            catch (Exception failure) when (GuestErrors.Concerns(failure))
            {
                throw await GuestErrors.TranslateAsync(_sandbox, $"waiting for process {id}", failure).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Sends a signal to a process's process group.</summary>
    /// <param name="id">The process.</param>
    /// <param name="signal">1 to 64.</param>
    /// <param name="cancellationToken">The signal may have been sent.</param>
    /// <returns><see langword="false"/> if the process has already ended.</returns>
    /// <exception cref="SandboxOperationException">No such process.</exception>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<bool> SignalAsync(string id, int signal, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(signal, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(signal, 64);
        return SendAsync(Operations.Signal, new ProcessRequest { Id = Checked(id), Signal = signal }, $"signalling process {id}", cancellationToken);
    }

    /// <summary>Kills a process with everything it started, also what it left running when it ended.</summary>
    /// <param name="id">The process.</param>
    /// <param name="cancellationToken">The kill may have been sent.</param>
    /// <returns><see langword="false"/> if nothing of it was left.</returns>
    /// <exception cref="SandboxOperationException">No such process.</exception>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<bool> KillAsync(string id, CancellationToken cancellationToken = default) =>
        SendAsync(Operations.Signal, new ProcessRequest { Id = Checked(id), WholeCgroup = true }, $"killing process {id}", cancellationToken);

    /// <summary>Changes the size of a process's terminal; its foreground processes get SIGWINCH.</summary>
    /// <param name="id">The process.</param>
    /// <param name="columns">1 to 65,535.</param>
    /// <param name="rows">1 to 65,535.</param>
    /// <param name="cancellationToken">The size may have been changed.</param>
    /// <returns><see langword="false"/> if the process has already ended.</returns>
    /// <exception cref="SandboxOperationException">No such process, or it has no terminal.</exception>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public Task<bool> ResizeTerminalAsync(string id, int columns, int rows, CancellationToken cancellationToken = default)
    {
        TerminalOptions.ValidateSize(columns, rows);
        return SendAsync(
            Operations.Resize, new ProcessRequest { Id = Checked(id), Columns = columns, Rows = rows }, $"resizing terminal {id}", cancellationToken);
    }

    /// <summary>Reads a range of a started process's output, as far as it is kept; does not wait for more.</summary>
    /// <param name="id">The process.</param>
    /// <param name="offset">Number of the first byte wanted, counted from the process's start; 0 or more.</param>
    /// <param name="maxBytes">1 to <see cref="MaxLogBytes"/>.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The bytes that are there, and where to read on.</returns>
    /// <exception cref="SandboxOperationException">No such process, or a command of <c>ExecAsync</c>.</exception>
    /// <exception cref="SandboxTimeoutException">No answer within <see cref="SandboxHostOptions.RequestTimeout"/>.</exception>
    /// <exception cref="SandboxLostException">The sandbox is gone.</exception>
    public async Task<SandboxProcessLog> ReadLogAsync(
        string id, long offset = 0, int maxBytes = 1 << 20, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxBytes, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(maxBytes, MaxLogBytes);
        var bytes = new OutputBuffer(maxBytes);
        try
        {
            ProcessLogResult log = await RequestAsync(
                new OpenRequest { Op = Operations.Log, Process = new ProcessRequest { Id = Checked(id), From = offset, Length = maxBytes } },
                $"reading the log of process {id}",
                ProtocolJsonContext.Default.ProcessLogResult,
                data => bytes.Append(data.Span),
                cancellationToken).ConfigureAwait(false);
            return new SandboxProcessLog(bytes.Take(), log.Start, log.Next, log.FirstAvailable, log.Ended);
        }
        finally
        {
            bytes.Dispose();
        }
    }

    /// <summary>
    /// Has the agent note what a shell has started so far. It does so before it passes on input that is written after this call has returned
    /// its task, which need not be awaited for that: requests and input go over the same port, in order.
    /// </summary>
    internal Task<bool> MarkAsync(string id, CancellationToken cancellationToken) =>
        SendAsync(Operations.Signal, new ProcessRequest { Id = id, Mark = true }, $"marking shell {id}", cancellationToken);

    /// <summary>Kills a shell, and what it has started since the mark.</summary>
    internal Task<bool> KillSinceMarkAsync(string id, CancellationToken cancellationToken) =>
        SendAsync(Operations.Signal, new ProcessRequest { Id = id, SinceMark = true }, $"killing what shell {id} runs", cancellationToken);

    /// <summary>A request without data.</summary>
    /// <param name="request">The request.</param>
    /// <param name="what">What it is, for messages.</param>
    /// <param name="shape">Shape of the answer.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <param name="uses">Whether it uses the sandbox, and wakes it; looking at it does not.</param>
    internal Task<T> AskAsync<T>(
        OpenRequest request, string what, JsonTypeInfo<T> shape, CancellationToken cancellationToken, bool uses = true) =>
        RequestAsync(request, what, shape, static _ => { }, cancellationToken, uses);

    private async Task<bool> SendAsync(string operation, ProcessRequest request, string what, CancellationToken cancellationToken)
    {
        ListResult result = await AskAsync(
            new OpenRequest { Op = operation, Process = request }, what, ProtocolJsonContext.Default.ListResult, cancellationToken).ConfigureAwait(false);
        return result.Count > 0;
    }

    private async Task<T> RequestAsync<T>(
        OpenRequest request, string what, JsonTypeInfo<T> shape, Action<ReadOnlyMemory<byte>> onData, CancellationToken cancellationToken, bool uses = true)
    {
        if (!uses)
        {
            _sandbox.EnsureRunning();
        }

        using SandboxUse? use = uses ? await _sandbox.UseAsync(cancellationToken).ConfigureAwait(false) : null;
        GuestStream stream = await _sandbox.OpenStreamAsync(request).ConfigureAwait(false);
        TimeSpan limit = _sandbox.Options.RequestTimeout;
        using CancellationTokenSource deadline = Deadlines.Start(limit, _sandbox.Options.TimeProvider, cancellationToken);
        await using (stream.ConfigureAwait(false))
        {
            try
            {
                while (true)
                {
                    using GuestData data = await stream.ReadAsync(deadline.Token).ConfigureAwait(false);
                    if (data.IsEnd)
                    {
                        break;
                    }

                    onData(data.Bytes);
                }

                return await stream.GetResultAsync(shape, deadline.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException late)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw new SandboxTimeoutException(_sandbox.Id, what, limit, late);
            }
            catch (Exception failure) when (GuestErrors.Concerns(failure))
            {
                throw await GuestErrors.TranslateAsync(_sandbox, what, failure).ConfigureAwait(false);
            }
        }
    }

    private ValueTask<GuestStream> OpenAsync(string operation, ProcessRequest request) =>
        _sandbox.OpenStreamAsync(new OpenRequest { Op = operation, Process = request });

    private static string Checked(string id)
    {
        ArgumentNullException.ThrowIfNull(id);
        return id.Length == 8 && uint.TryParse(id, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out _)
            ? id
            : throw new ArgumentException("a process's id has 8 hexadecimal digits", nameof(id));
    }

    private static SandboxProcessInfo Read(ReadOnlySpan<byte> line, int already)
    {
        if (already == MaxEntries)
        {
            throw new InvalidDataException($"more than {MaxEntries} processes");
        }

        ProcessEntry entry = JsonSerializer.Deserialize(line, ProtocolJsonContext.Default.ProcessEntry) ?? throw new JsonException("an entry is null");
        return new SandboxProcessInfo
        {
            Id = entry.Id,
            Pid = entry.Pid,
            Command = entry.Command,
            User = entry.User,
            StartedAt = DateTimeOffset.UnixEpoch.AddTicks(Math.Clamp(entry.StartedNanoseconds / 100, 0, s_mostTicks)),
            Exit = entry.Exit is ExecResultMessage exit ? SandboxProcessExit.From(exit) : null,
            IsManaged = entry.Managed,
            IsDetached = entry.Detached,
            HasTerminal = entry.Terminal,
            CpuTime = (entry.CpuMicroseconds ?? entry.Exit?.CpuMicroseconds) is long cpu ? SandboxProcessExit.ToTime(cpu) : null,
            MemoryBytes = entry.MemoryBytes,
            OutputStart = entry.OutputStart,
            OutputEnd = entry.OutputEnd,
        };
    }

    private static readonly long s_mostTicks = (DateTimeOffset.MaxValue - DateTimeOffset.UnixEpoch).Ticks;
}
