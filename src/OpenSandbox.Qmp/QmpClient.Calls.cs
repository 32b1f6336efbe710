using System.Net.Sockets;
using System.Runtime.InteropServices;
using OpenSandbox.Qmp.Protocol;
using OpenSandbox.Qmp.Transport;

namespace OpenSandbox.Qmp;

// Calls: the table of those that wait, their deadlines, and the sending.
public sealed partial class QmpClient
{
    /// <summary>How long replies that QEMU had already written are still read after a send has failed.</summary>
    private static readonly TimeSpan s_drainLimit = TimeSpan.FromSeconds(1);

    /// <summary>Guards everything below. Never held across an await or while code of others runs.</summary>
    private readonly Lock _gate = new();
    private readonly Dictionary<long, IPendingCall> _pending = [];
    private readonly OutgoingCommands _outgoing = new();
    private long _lastId = GreetingId;
    private long _timerDue = long.MaxValue;
    private bool _flushing;
    private TaskCompletionSource? _flushEnded;

    private Task<T> Send<T>(string command, ReplyParser<T> parse, TimeSpan limit, CancellationToken cancellationToken) =>
        Send(command, parse, false, writeArguments: null, descriptor: null, limit, cancellationToken);

    /// <summary>Queues a command, registers its caller, and gets the sending going. Runs synchronously up to the socket.</summary>
    private Task<T> Send<T, TState>(
        string command,
        ReplyParser<T> parse,
        TState state,
        ArgumentsWriter<TState>? writeArguments,
        SafeHandle? descriptor,
        TimeSpan limit,
        CancellationToken cancellationToken)
        where TState : allows ref struct
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (cancellationToken.IsCancellationRequested)
        {
            return Task.FromCanceled<T>(cancellationToken);
        }

        PendingCall<T> call;
        bool flush;
        lock (_gate)
        {
            if (_cause is not null)
            {
                return Task.FromException<T>(_cause);
            }

            if (_pending.Count >= _options.MaxInFlightCommands)
            {
                throw new InvalidOperationException($"{_pending.Count} QMP commands are waiting for their replies, the limit of this client");
            }

            long id = _lastId + 1;
            _outgoing.Append(command, id, state, writeArguments, descriptor);
            _lastId = id;
            call = Register(id, command, parse, limit);
            flush = !_flushing;
            _flushing = true;
        }

        _logger.CommandQueued(command, call.Id);
        AttachCancellation(call, cancellationToken);
        if (flush)
        {
            _ = FlushAsync();
        }

        return call.Task;
    }

    private Task<QmpGreeting> ExpectGreeting(CancellationToken cancellationToken)
    {
        PendingCall<QmpGreeting> call;
        lock (_gate)
        {
            call = Register(GreetingId, "greeting", Replies.Greeting, _options.ConnectTimeout);
        }

        AttachCancellation(call, cancellationToken);
        return call.Task;
    }

    private PendingCall<T> Register<T>(long id, string command, ReplyParser<T> parse, TimeSpan limit)
    {
        TimeProvider time = _options.TimeProvider;
        long deadline = time.GetTimestamp() + (long)(limit.TotalSeconds * time.TimestampFrequency);
        var call = new PendingCall<T>(id, command, deadline, limit, parse);
        _pending.Add(id, call);
        ArmTimer(deadline);
        return call;
    }

    private void AttachCancellation<T>(PendingCall<T> call, CancellationToken cancellationToken)
    {
        if (cancellationToken.CanBeCanceled)
        {
            call.Attach(cancellationToken.UnsafeRegister(
                static (state, token) =>
                {
                    var (client, id) = ((QmpClient, long))state!;
                    client.Take(id)?.Cancel(token);
                },
                (this, call.Id)));
        }
    }

    /// <summary>Takes a call out of the table; whoever gets it completes it. Null when another was first.</summary>
    private IPendingCall? Take(long id)
    {
        lock (_gate)
        {
            return _pending.Remove(id, out IPendingCall? call) ? call : null;
        }
    }

    /// <summary>One timer serves all calls: it is set to the earliest deadline and, when later calls come, left as it is.</summary>
    private void ArmTimer(long deadline)
    {
        if (deadline >= _timerDue)
        {
            return;
        }

        _timerDue = deadline;
        TimeSpan delay = _options.TimeProvider.GetElapsedTime(_options.TimeProvider.GetTimestamp(), deadline);

        // Timers count in whole milliseconds and may be early by one: rounding up avoids a round of the handler for nothing.
        _timer.Change(TimeSpan.FromMilliseconds(Math.Max(1, Math.Ceiling(delay.TotalMilliseconds))), Timeout.InfiniteTimeSpan);
    }

    private void ExpireCalls()
    {
        List<IPendingCall>? expired = null;
        lock (_gate)
        {
            _timerDue = long.MaxValue;
            long now = _options.TimeProvider.GetTimestamp();
            long next = long.MaxValue;
            foreach (IPendingCall call in _pending.Values)
            {
                if (call.Deadline <= now)
                {
                    (expired ??= []).Add(call);
                }
                else
                {
                    next = Math.Min(next, call.Deadline);
                }
            }

            expired?.ForEach(call => _pending.Remove(call.Id));
            ArmTimer(next);
        }

        foreach (IPendingCall call in expired ?? [])
        {
            _logger.CommandExpired(call.Id, call.Command, call.Limit.TotalMilliseconds);
            call.Fail(new QmpTimeoutException(call.Command, call.Limit));
        }
    }

    /// <summary>Sends what is queued, and what is queued meanwhile. One runs at a time; never throws.</summary>
    private async Task FlushAsync()
    {
        try
        {
            while (TryTakeBatch(out OutgoingBatch batch))
            {
                try
                {
                    await CommandSender.SendAsync(_socket, batch).ConfigureAwait(false);
                }
                finally
                {
                    batch.Release();
                }
            }
        }
        catch (Exception e)
        {
            // The loop's boundary. QEMU is gone, but its last words (the reply to quit, the reason of a shutdown) may still be unread:
            // the reader gets a moment to come to them and to the end by itself.
            await _readLoop.WaitAsync(s_drainLimit, _options.TimeProvider, CancellationToken.None)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            End(Lost(e));
            lock (_gate)
            {
                EndFlush();
            }
        }
    }

    private bool TryTakeBatch(out OutgoingBatch batch)
    {
        lock (_gate)
        {
            if (_cause is null && _outgoing.TryTake(out batch))
            {
                return true;
            }

            // In the same breath as finding nothing to send, so that no command is left behind.
            EndFlush();
            batch = default;
            return false;
        }
    }

    /// <summary>Hands the right to send back. The lock is held.</summary>
    private void EndFlush()
    {
        _flushing = false;
        if (_cause is not null)
        {
            _outgoing.Discard();
        }

        _flushEnded?.TrySetResult();
    }

    private Task FlushEndedAsync()
    {
        lock (_gate)
        {
            return _flushing ? (_flushEnded ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task : Task.CompletedTask;
        }
    }

    private static QmpConnectionException Lost(Exception cause) => cause as QmpConnectionException
        ?? new QmpConnectionException($"The connection to QEMU was lost: {cause.Message}", cause);
}
