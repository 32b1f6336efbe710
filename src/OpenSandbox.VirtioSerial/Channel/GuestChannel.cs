using System.Net.Sockets;

namespace OpenSandbox.VirtioSerial;

/// <summary>
/// The host's end of the protocol with one sandbox's guest agent (docs/protocol.md): requests and their data, multiplexed over the two
/// connected sockets behind which QEMU's virtio-serial ports lie.
/// </summary>
/// <remarks>
/// <para>Lifecycle: <see cref="Open(Socket, Socket, GuestChannelOptions)"/>, which writes the preamble at once; then streams may be opened, even before the guest runs; then
/// <see cref="WaitForHelloAsync"/>. The channel ends with the first failure, or with <see cref="DisposeAsync"/>; there is no
/// recovery but a new channel with a new epoch.</para>
/// <para>Thread-safe. The guest counts as hostile: whatever it sends, memory stays bounded, and the first broken rule ends the channel
/// (<see cref="GuestProtocolException"/>). Calls wait until the guest answers, the token is cancelled or the channel ends: a caller
/// that wants a deadline brings it in the token.</para>
/// <para>Continuations of callers run on the thread pool, never on the channel's reader loops.</para>
/// </remarks>
/// <example>
/// <code>
/// await using GuestChannel channel = GuestChannel.Open(control, bulk, new GuestChannelOptions { Epoch = epoch });
/// await channel.WaitForHelloAsync(deadline.Token);
/// await using GuestStream stream = channel.OpenStream(
///     GuestPort.Bulk, new OpenRequest { Op = Operations.Exec, Exec = new ExecRequest { Argv = ["uname", "-a"] } });
/// while (true)
/// {
///     using GuestData data = await stream.ReadAsync(deadline.Token);
///     if (data.IsEnd)
///     {
///         break;
///     }
///
///     output.Write(data.Bytes.Span);
/// }
///
/// ExecResultMessage result = await stream.GetResultAsync(ProtocolJsonContext.Default.ExecResultMessage, deadline.Token);
/// </code>
/// </example>
public sealed partial class GuestChannel : IAsyncDisposable
{
    private readonly GuestChannelOptions _options;
    private readonly PortSession _control;
    private readonly PortSession _bulk;
    private readonly PortSession? _network;
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _closed = new();
    private GuestChannelException? _failure;
    private int _strayFrames;

    private GuestChannel(Socket control, Socket bulk, Socket? network, GuestChannelOptions options)
    {
        _options = options;
        Closed = _closed.Token;
        _control = new PortSession(this, GuestPort.Control, control, options);
        _bulk = new PortSession(this, GuestPort.Bulk, bulk, options);
        _network = network is null ? null : new PortSession(this, GuestPort.Network, network, options);
    }

    /// <summary>The session's number.</summary>
    public ulong Epoch => _options.Epoch;

    /// <summary>The first cause of the channel's end; <see langword="null"/> while it lives.</summary>
    public GuestChannelException? Failure => Volatile.Read(ref _failure);

    /// <summary>Cancelled when the channel has ended, for whatever reason.</summary>
    public CancellationToken Closed { get; }

    /// <summary>
    /// Ends with the channel, after its sockets are closed and its loops are over: successfully after <see cref="DisposeAsync"/> of a living
    /// channel, otherwise with the first cause. It need not be awaited.
    /// </summary>
    public Task Completion => _completion.Task;

    /// <summary>Streams that are not closed yet, on all ports; those whose <see cref="GuestStream"/> is disposed included.</summary>
    public int OpenStreams => _control.OpenStreams + _bulk.OpenStreams + (_network?.OpenStreams ?? 0);

    /// <summary>Frames that were dropped because their stream had ended.</summary>
    public int StrayFrames => Volatile.Read(ref _strayFrames);

    /// <summary>
    /// Opens a session: writes the preamble on every port, and the Welcome that names the generation. Does not wait for anything: the other end
    /// need not read yet.
    /// </summary>
    /// <param name="control">A connected stream socket: the port <see cref="ProtocolConstants.ControlPortName"/>. The channel owns it from now on.</param>
    /// <param name="bulk">A connected stream socket: the port <see cref="ProtocolConstants.BulkPortName"/>. The channel owns it from now on.</param>
    /// <param name="options">Epoch and limits.</param>
    /// <returns>The channel. If a socket was dead already, the next call says so.</returns>
    /// <exception cref="ArgumentException">An option is out of range; the sockets stay the caller's.</exception>
    /// <exception cref="IOException">A socket is not a connected, blocking stream socket; the sockets stay the caller's.</exception>
    public static GuestChannel Open(Socket control, Socket bulk, GuestChannelOptions options) => OpenAll(control, bulk, null, options);

    /// <summary>As <see cref="Open(Socket, Socket, GuestChannelOptions)"/>, with the network port.</summary>
    /// <param name="control">A connected stream socket: the port <see cref="ProtocolConstants.ControlPortName"/>. The channel owns it from now on.</param>
    /// <param name="bulk">A connected stream socket: the port <see cref="ProtocolConstants.BulkPortName"/>. The channel owns it from now on.</param>
    /// <param name="network">A connected stream socket: the port <see cref="ProtocolConstants.NetworkPortName"/>. The channel owns it from now on.</param>
    /// <param name="options">Epoch and limits.</param>
    /// <returns>The channel. If a socket was dead already, the next call says so.</returns>
    /// <exception cref="ArgumentException">An option is out of range; the sockets stay the caller's.</exception>
    /// <exception cref="IOException">A socket is not a connected, blocking stream socket; the sockets stay the caller's.</exception>
    public static GuestChannel Open(Socket control, Socket bulk, Socket network, GuestChannelOptions options)
    {
        ArgumentNullException.ThrowIfNull(network);
        return OpenAll(control, bulk, network, options);
    }

    private static GuestChannel OpenAll(Socket control, Socket bulk, Socket? network, GuestChannelOptions options)
    {
        ArgumentNullException.ThrowIfNull(control);
        ArgumentNullException.ThrowIfNull(bulk);
        GuestChannelOptions.Validate(options);
        var channel = new GuestChannel(control, bulk, network, options);
        channel._control.AppendPreamble();
        channel._bulk.AppendPreamble();
        channel._network?.AppendPreamble();
        channel.AppendWelcome();
        channel._control.Writer.Flush();
        channel._bulk.Writer.Flush();
        channel._network?.Writer.Flush();
        channel._control.Start();
        channel._bulk.Start();
        channel._network?.Start();
        return channel;
    }

    /// <summary>Opens a stream with a request. Does not wait; may be called before Hello, and even before the guest runs.</summary>
    /// <param name="port">The port that the operation belongs on.</param>
    /// <param name="request">The request; at most <see cref="ProtocolConstants.MaxRequestSize"/> bytes as JSON.</param>
    /// <returns>The stream; dispose it.</returns>
    /// <exception cref="ArgumentException">The request is too large.</exception>
    /// <exception cref="GuestOperationException"><see cref="GuestChannelOptions.MaxStreams"/> are open
    /// (code <see cref="AgentErrorCodes.LimitReached"/>).</exception>
    /// <exception cref="GuestChannelException">The channel is dead, or all 2,147,483,647 ids of the port were used: ids are never used twice
    /// in a session, so that a late frame cannot reach the wrong stream.</exception>
    public GuestStream OpenStream(GuestPort port, OpenRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return port switch
        {
            GuestPort.Control => _control.Open(request),
            GuestPort.Bulk => _bulk.Open(request),
            GuestPort.Network when _network is not null => _network.Open(request),
            _ => throw new ArgumentOutOfRangeException(nameof(port), port, "No such port."),
        };
    }

    /// <summary>Waits for the agent to open a stream on the network port.</summary>
    /// <param name="cancellationToken">Ends the wait; no stream is lost.</param>
    /// <returns>The stream; dispose it. Until it is taken it waits, with at most a window of Data.</returns>
    /// <exception cref="InvalidOperationException">The channel has no network port.</exception>
    /// <exception cref="GuestChannelException">The channel is dead.</exception>
    public async ValueTask<AgentStream> AcceptStreamAsync(CancellationToken cancellationToken = default)
    {
        if (_network is null)
        {
            throw new InvalidOperationException("The channel was opened without a network port.");
        }

        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, Closed);
        try
        {
            ThrowIfFailed();
            return await _network.Incoming.ReadAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            ThrowIfFailed();
            throw;
        }
    }

    /// <summary>Ends the channel: closes its sockets and fails what is under way. What was not sent yet is lost. Never throws.</summary>
    /// <returns>When the channel's loops are over.</returns>
    public async ValueTask DisposeAsync()
    {
        Fail(new GuestChannelException("The channel was closed by this side."), ownClose: true);
        await _completion.Task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Latches the first cause and ends everything else from the thread pool: the caller may hold any lock.</summary>
    internal void Fail(GuestChannelException cause, bool ownClose = false)
    {
        if (Interlocked.CompareExchange(ref _failure, cause, null) is null)
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                static state => _ = state.channel.EndAsync(state.cause, state.ownClose), (channel: this, cause, ownClose), preferLocal: false);
        }
    }

    /// <summary>Reports the first cause to a caller.</summary>
    internal void ThrowIfFailed()
    {
        if (Failure is { } failure)
        {
            throw failure.ForCaller();
        }
    }

    /// <summary>Counts a frame for a stream that has ended.</summary>
    internal void CountStrayFrame() => Interlocked.Increment(ref _strayFrames);

    private async Task EndAsync(GuestChannelException cause, bool ownClose)
    {
        Task control = _control.CloseAsync(cause);
        Task bulk = _bulk.CloseAsync(cause);
        Task network = _network?.CloseAsync(cause) ?? Task.CompletedTask;
        FailSession(cause);
        await Task.WhenAll(control, bulk, network).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (ownClose)
        {
            _completion.SetResult();
        }
        else
        {
            _completion.SetException(cause);
            _ = _completion.Task.Exception; // Observed: nobody has to await it.
        }

        // Last: callbacks are the callers' code, and what they throw is theirs.
        await _closed.CancelAsync().ConfigureAwait(false);
    }
}
