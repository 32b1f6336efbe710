using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using OpenSandbox.Qmp.Protocol;
using OpenSandbox.Qmp.Transport;

namespace OpenSandbox.Qmp;

/// <summary>A QMP connection to one QEMU, over a connected Unix stream socket.</summary>
/// <remarks>
/// <para>All members may be called from any thread at any time. Commands are pipelined: each carries an id, leaves in the order of the
/// calls and is answered by id; up to <see cref="QmpClientOptions.MaxInFlightCommands"/> may be waiting.</para>
/// <para>Every command has a deadline. When it expires (<see cref="QmpTimeoutException"/>) or the caller's token is cancelled, the wait
/// ends and a late reply is dropped; the command is not unsent, and whether it took effect is not known.</para>
/// <para>When the connection ends, for whatever reason, the first cause is kept: every pending and later call, every subscription and
/// <see cref="Completion"/> report that one. After <see cref="DisposeAsync"/> new calls throw <see cref="ObjectDisposedException"/>.</para>
/// <para>QEMU is not trusted: what it sends is bounded and checked (see <see cref="QmpClientOptions"/>), and anything that is not QMP ends
/// the connection with a <see cref="QmpProtocolException"/>. No code of the caller's ever runs on the thread that reads.</para>
/// </remarks>
/// <example>
/// <code>
/// await using QmpClient qmp = await QmpClient.ConnectAsync(socket);
/// using QmpEventSubscription resumed = qmp.Subscribe("RESUME");
/// await qmp.ContinueAsync();
/// QmpEvent e = await resumed.ReadAsync(cancellationToken);
/// </code>
/// </example>
public sealed partial class QmpClient : IAsyncDisposable
{
    private const long GreetingId = 0;

    private readonly Socket _socket;
    private readonly QmpClientOptions _options;
    private readonly ILogger _logger;
    private readonly TaskCompletionSource<QmpConnectionException> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ITimer _timer;
    private QmpConnectionException? _cause;
    private QmpGreeting? _greeting;
    private Task _readLoop = Task.CompletedTask;
    private volatile bool _disposed;

    private QmpClient(Socket socket, QmpClientOptions options, ILogger logger)
    {
        _socket = socket;
        _options = options;
        _logger = logger;
        _lines = new LineSplitter(options.MaxLineBytes);
        if (!socket.Blocking)
        {
            // The runtime's streams insist on it. It is a matter of the property alone: nothing here ever blocks on the socket.
            socket.Blocking = true;
        }

        _timer = options.TimeProvider.CreateTimer(
            static client => ((QmpClient)client!).ExpireCalls(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>What QEMU said first.</summary>
    public QmpGreeting Greeting => _greeting!;

    /// <summary>Completes, always successfully, with the first cause once the connection has ended; after a dispose that is the dispose.</summary>
    public Task<QmpConnectionException> Completion => _completion.Task;

    /// <summary>Replies dropped because nobody waited for them: they came late, or QEMU made them up.</summary>
    public long DroppedReplies => Volatile.Read(ref _droppedReplies);

    /// <summary>Waits for the greeting and leaves negotiation mode, with no optional capability enabled.</summary>
    /// <param name="socket">A connected Unix stream socket. The client owns it from here on, also when this call fails.</param>
    /// <param name="options">Deadlines and bounds; null for the defaults.</param>
    /// <param name="logger">For Debug messages; null for none.</param>
    /// <param name="cancellationToken">Cancelling closes the socket.</param>
    /// <exception cref="QmpTimeoutException"><see cref="QmpClientOptions.ConnectTimeout"/> expired.</exception>
    /// <exception cref="QmpConnectionException">The connection was lost.</exception>
    /// <exception cref="QmpProtocolException">The peer does not speak QMP.</exception>
    /// <exception cref="QmpCommandException">QEMU refused the negotiation.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static Task<QmpClient> ConnectAsync(
        Socket socket, QmpClientOptions? options = null, ILogger? logger = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(socket);
        options ??= new QmpClientOptions();
        logger ??= NullLogger.Instance;
        if (ExecutionContext.IsFlowSuppressed())
        {
            return new QmpClient(socket, options, logger).NegotiateAsync(cancellationToken);
        }

        // Timer and reader outlive the call that starts them and must not drag its ambient state along.
        using (ExecutionContext.SuppressFlow())
        {
            return new QmpClient(socket, options, logger).NegotiateAsync(cancellationToken);
        }
    }

    /// <summary>Closes the connection. QEMU goes on running: see <see cref="QuitAsync"/>. Idempotent, never throws.</summary>
    /// <remarks>Pending calls fail with a <see cref="QmpConnectionException"/>. When this returns, nothing of the client runs any more.</remarks>
    public async ValueTask DisposeAsync()
    {
        _disposed = true;
        End(new QmpConnectionException("The QMP client was disposed of"));
        await _readLoop.ConfigureAwait(false);
        await FlushEndedAsync().ConfigureAwait(false);
        await _timer.DisposeAsync().ConfigureAwait(false);
    }

    private async Task<QmpClient> NegotiateAsync(CancellationToken cancellationToken)
    {
        try
        {
            Task<QmpGreeting> greeting = ExpectGreeting(cancellationToken);
            _readLoop = ReadLoopAsync();

            // QEMU reads no command before it has written its greeting, so the negotiation need not wait for the greeting:
            // that saves a round trip on the path of every VM's start.
            Task negotiated = Send("qmp_capabilities", Replies.Nothing, _options.ConnectTimeout, cancellationToken);
            await Task.WhenAll(greeting, negotiated).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

            // Where both failed, the missing greeting is the cause.
            _greeting = await greeting.ConfigureAwait(false);
            await negotiated.ConfigureAwait(false);
        }
        catch
        {
            await DisposeAsync().ConfigureAwait(false);
            throw;
        }

        QmpVersion version = _greeting.Version;
        _logger.Connected(version.Major, version.Minor, version.Micro);
        return this;
    }

    /// <summary>Ends the connection: the first cause wins and is what everybody gets.</summary>
    private void End(QmpConnectionException cause)
    {
        if (Interlocked.CompareExchange(ref _cause, cause, null) is not null)
        {
            return;
        }

        // A call that took the lock before the cause was set is in the table; a later one sees the cause.
        IPendingCall[] calls;
        QmpEventSubscription[] subscriptions;
        lock (_gate)
        {
            calls = [.. _pending.Values];
            _pending.Clear();
            subscriptions = _subscriptions;
            _subscriptions = [];
            if (!_flushing)
            {
                _outgoing.Discard();
            }
        }

        _socket.Dispose();
        _timer.Dispose();
        _logger.ConnectionEnded(cause.Message);
        foreach (IPendingCall call in calls)
        {
            call.Fail(cause);
        }

        foreach (QmpEventSubscription subscription in subscriptions)
        {
            subscription.End(cause);
        }

        _completion.TrySetResult(cause);
    }
}
