using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace OpenSandbox.Vmm;

/// <summary>The host side of one sandbox's network: decides what its guest may reach, connects to it and answers its DNS queries.</summary>
/// <remarks>
/// Thread-safe. Everything it is asked comes from a hostile guest: any address, any bytes, any number of requests. What it connects to is
/// the address that was asked for; no name is ever resolved between the decision and the connection.
/// </remarks>
internal sealed class EgressGateway : IAsyncDisposable
{
    private readonly string _sandboxId;
    private readonly ILogger _logger;
    private readonly EgressGatewayOptions _options;
    private readonly AddressGuard _guard;
    private readonly ResolvedNames _names;
    private readonly RateBucket _connectRate;
    private readonly EgressRefusals _refusals;
    private readonly EgressCounters _counters = new();
    private readonly DnsService _dns;
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _lock = new();
    private readonly HashSet<EgressConnection> _connections = [];
    private CompiledPolicy _policy;
    private int _slots;
    private int _operations;
    private bool _disposed;

    /// <summary>Makes a gateway; it holds no thread, socket or timer while its guest asks for nothing.</summary>
    internal EgressGateway(string sandboxId, EgressPolicy policy, EgressGatewayOptions options, ILogger logger)
    {
        ArgumentNullException.ThrowIfNull(policy);
        options.Validate();
        _sandboxId = sandboxId;
        _logger = logger;
        _options = options;
        _guard = new AddressGuard(options.HostAddresses ?? HostAddresses.Shared);
        _policy = new CompiledPolicy(policy, _guard);
        _names = new ResolvedNames(options.TimeProvider);
        EgressLimits limits = options.Limits;
        _connectRate = new RateBucket(limits.ConnectionsPerSecond, limits.ConnectionsPerSecond, options.TimeProvider);
        SendBandwidth = limits.SendBytesPerSecond is long send ? new EgressBandwidth(send, options.TimeProvider) : null;
        ReceiveBandwidth = limits.ReceiveBytesPerSecond is long receive ? new EgressBandwidth(receive, options.TimeProvider) : null;
        _refusals = new EgressRefusals(sandboxId, options.TimeProvider, logger);
        _dns = new DnsService(options, () => Volatile.Read(ref _policy), _guard, _names, _refusals, _counters);
    }

    /// <summary>The policy. Setting it judges the open connections anew: those that it does not allow are reset before the setter returns.</summary>
    internal EgressPolicy Policy
    {
        get => Volatile.Read(ref _policy).Policy;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            ChangePolicy(_ => value);
        }
    }

    /// <summary>What has happened so far.</summary>
    internal EgressStatistics Statistics
    {
        get
        {
            int active;
            lock (_lock)
            {
                active = _connections.Count;
            }

            return _counters.Read(active, _refusals.Log.Missed);
        }
    }

    /// <summary>The last refusals, oldest first, at most <see cref="RefusalLog.Kept"/>.</summary>
    internal IReadOnlyList<EgressRefusal> RecentRefusals => _refusals.Log.Recent;

    internal EgressBandwidth? SendBandwidth { get; }

    internal EgressBandwidth? ReceiveBandwidth { get; }

    internal EgressCounters Counters => _counters;

    /// <summary>The refusals from the first read on, until the sandbox is gone.</summary>
    internal IAsyncEnumerable<EgressRefusal> WatchRefusalsAsync(CancellationToken cancellationToken) => _refusals.Log.WatchAsync(cancellationToken);

    /// <summary>Replaces the policy by one made from it, in one step.</summary>
    /// <param name="change">Runs once, under the gateway's lock: it must be short and must not use the gateway.</param>
    /// <returns>The new policy.</returns>
    internal EgressPolicy ChangePolicy(Func<EgressPolicy, EgressPolicy> change)
    {
        EgressConnection[] open;
        CompiledPolicy policy;
        lock (_lock)
        {
            EgressPolicy changed = change(_policy.Policy) ?? throw new ArgumentException("the change made no policy", nameof(change));
            policy = new CompiledPolicy(changed, _guard);
            Volatile.Write(ref _policy, policy);
            open = [.. _connections];
        }

        int closed = 0;
        foreach (EgressConnection connection in open)
        {
            EgressDecision decision = policy.DecideConnect(connection.Target.Address, connection.Target.Port, connection.Names);
            if (!decision.Allowed && connection.AbortForPolicy())
            {
                closed++;
                _counters.ClosedByPolicy();
                Record(EgressRefusalReason.PolicyChanged, connection.Target, connection.Names, decision.Rule, decision.Detail);
            }
        }

        EgressLog.PolicyChanged(_logger, _sandboxId, policy.Policy.ToString(), closed);
        return policy.Policy;
    }

    /// <summary>Decides on what the guest asked for, and connects to it.</summary>
    /// <param name="target">The address and port that the guest's program connects to.</param>
    /// <param name="cancellationToken">Stops connecting.</param>
    /// <returns>The connection. The caller disposes of it.</returns>
    /// <exception cref="EgressRefusedException">At once: policy, guard or a limit.</exception>
    /// <exception cref="EgressConnectException">It could not be reached, within <see cref="EgressGatewayOptions.ConnectTimeout"/>.</exception>
    /// <exception cref="ObjectDisposedException">The sandbox is gone.</exception>
    internal async ValueTask<EgressConnection> ConnectAsync(IPEndPoint target, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(target);
        var destination = new IPEndPoint(AddressBits.WithoutScope(target.Address), target.Port);
        TakeSlot(destination);
        Socket? socket = null;
        try
        {
            string[] names = _names.Of(destination.Address);
            CompiledPolicy policy = Volatile.Read(ref _policy);
            Require(policy, destination, names);
            RequireElsewhere(destination, names);
            socket = await ConnectSocketAsync(destination, cancellationToken).ConfigureAwait(false);
            return Register(new EgressConnection(socket, this, destination, names), policy);
        }
        catch
        {
            socket?.Dispose();
            FreeSlot();
            throw;
        }
    }

    /// <summary>Answers a DNS query; see <see cref="DnsService"/>.</summary>
    /// <param name="query">The message as the guest's program sent it; any bytes.</param>
    /// <param name="overTcp">Whether it came over TCP, so that the answer may be of any size.</param>
    /// <param name="cancellationToken">Stops.</param>
    /// <returns>An answer, always: what cannot be answered is refused in DNS's own words.</returns>
    /// <exception cref="ObjectDisposedException">The sandbox is gone.</exception>
    internal async ValueTask<ReadOnlyMemory<byte>> ResolveAsync(ReadOnlyMemory<byte> query, bool overTcp, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _operations++;
        }

        try
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token);
            return await _dns.AnswerAsync(query, overTcp, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException stopped) when (!cancellationToken.IsCancellationRequested && _stopping.IsCancellationRequested)
        {
            throw new ObjectDisposedException($"the network of sandbox {_sandboxId} is gone", stopped);
        }
        finally
        {
            EndOperation(slot: false);
        }
    }

    /// <summary>Resets what is open, stops what is under way and waits for it to have stopped.</summary>
    /// <returns>When nothing of the gateway is left.</returns>
    public async ValueTask DisposeAsync()
    {
        EgressConnection[] open;
        lock (_lock)
        {
            if (_disposed)
            {
                open = [];
            }
            else
            {
                _disposed = true;
                open = [.. _connections];
                if (_operations == 0)
                {
                    _drained.TrySetResult();
                }
            }
        }

        // Cancelling twice does nothing; the source has no timer, so that nothing is left to dispose of.
        await _stopping.CancelAsync().ConfigureAwait(false);
        foreach (EgressConnection connection in open)
        {
            connection.Abort();
        }

        await _drained.Task.ConfigureAwait(false);
        _refusals.Log.Complete();
    }

    /// <summary>A connection has been closed.</summary>
    internal void Release(EgressConnection connection)
    {
        lock (_lock)
        {
            if (!_connections.Remove(connection))
            {
                // Never registered: ConnectAsync gives the place back itself.
                return;
            }
        }

        FreeSlot();
    }

    /// <summary>What the policy says of a connection now, without making or counting it.</summary>
    internal EgressDecision Decide(IPEndPoint target) => Volatile.Read(ref _policy)
        .DecideConnect(AddressBits.WithoutScope(target.Address), target.Port, _names.Of(AddressBits.WithoutScope(target.Address)));

    private void TakeSlot(IPEndPoint target)
    {
        if (!_connectRate.TryTake())
        {
            throw Refuse(EgressRefusalReason.RateLimit, target, [], null, "connections per second");
        }

        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_slots < _options.Limits.MaxConnections)
            {
                _slots++;
                _operations++;
                return;
            }
        }

        throw Refuse(EgressRefusalReason.ConcurrencyLimit, target, [], null, "connections at once");
    }

    private void FreeSlot() => EndOperation(slot: true);

    private void EndOperation(bool slot)
    {
        lock (_lock)
        {
            _operations--;
            if (slot)
            {
                _slots--;
            }

            if (_disposed && _operations == 0)
            {
                _drained.TrySetResult();
            }
        }
    }

    private void Require(CompiledPolicy policy, IPEndPoint target, string[] names)
    {
        if (target.Port == 0)
        {
            throw Refuse(EgressRefusalReason.Malformed, target, names, null, "port 0");
        }

        EgressDecision decision = policy.DecideConnect(target.Address, target.Port, names);
        if (!decision.Allowed)
        {
            throw Refuse(decision.Reason, target, names, decision.Rule, decision.Detail);
        }
    }

    /// <summary>What passes for public must not lead back to this host by a way that no list of addresses shows.</summary>
    private void RequireElsewhere(IPEndPoint target, string[] names)
    {
        if (!_guard.Judge(target.Address).IsGuarded && _options.LeadsHere(target.Address))
        {
            throw Refuse(EgressRefusalReason.GuardedAddress, target, names, null, "delivered to the host itself");
        }
    }

    private async Task<Socket> ConnectSocketAsync(IPEndPoint target, CancellationToken cancellationToken)
    {
        using var deadline = new NetworkDeadline(_options.ConnectTimeout, _options.TimeProvider, cancellationToken, _stopping.Token);
        Socket? socket = null;
        try
        {
            socket = new Socket(target.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            // A remote host that vanishes would hold its place for ever: after some minutes without an answer it counts as gone.
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 120);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 30);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 4);
            await socket.ConnectAsync(target, deadline.Token).ConfigureAwait(false);
            return socket;
        }
        catch (OperationCanceledException late)
        {
            socket?.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_stopping.IsCancellationRequested, this);
            _counters.Failed();
            throw new EgressConnectException(SocketError.TimedOut, $"connecting to {target}: no answer within {_options.ConnectTimeout}", late);
        }
        catch (SocketException failure)
        {
            socket?.Dispose();
            _counters.Failed();
            // A host without IPv6 is, for the guest, a network that cannot be reached.
            SocketError error = failure.SocketErrorCode is SocketError.AddressFamilyNotSupported or SocketError.AddressNotAvailable
                ? SocketError.NetworkUnreachable
                : failure.SocketErrorCode;
            throw new EgressConnectException(error, $"connecting to {target}: {error}", failure);
        }
    }

    /// <summary>Makes a connection known, unless the policy has changed meanwhile and does not allow it.</summary>
    private EgressConnection Register(EgressConnection connection, CompiledPolicy decidedBy)
    {
        while (true)
        {
            CompiledPolicy policy = Volatile.Read(ref _policy);
            if (policy != decidedBy)
            {
                try
                {
                    Require(policy, connection.Target, connection.Names);
                }
                catch (EgressRefusedException)
                {
                    connection.Abort();
                    throw;
                }

                decidedBy = policy;
            }

            lock (_lock)
            {
                if (_disposed)
                {
                    break;
                }

                // From here on, whoever changes the policy sees the connection.
                if (_policy == decidedBy)
                {
                    _connections.Add(connection);
                    _counters.Opened();
                    return connection;
                }
            }
        }

        connection.Abort();
        throw new ObjectDisposedException(nameof(EgressGateway));
    }

    private EgressRefusedException Refuse(EgressRefusalReason reason, IPEndPoint target, string[] names, EgressRule? rule, string detail)
    {
        _counters.Refused();
        Record(reason, target, names, rule, detail);
        return new EgressRefusedException(reason, $"connection to {target} refused: {reason}{(detail.Length > 0 ? $" ({detail})" : "")}");
    }

    private void Record(EgressRefusalReason reason, IPEndPoint target, string[] names, EgressRule? rule, string detail) =>
        _refusals.Add(EgressRefusalKind.Connect, reason, target.Address.ToString(), target.Port, names, rule, detail);
}
