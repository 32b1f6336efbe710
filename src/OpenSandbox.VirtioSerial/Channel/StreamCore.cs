using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.VirtioSerial;

/// <summary>
/// State of one stream, reused for later streams of the same port once nobody can see it any more: the caller's <see cref="GuestStream"/> has
/// been disposed, the agent has closed the stream, no call is under way and no data is lent out. Everything is guarded by one lock; the lock of
/// the port's writer may be taken inside it, never the other way round.
/// </summary>
/// <remarks>This part: life and answers. StreamCore.Reading and StreamCore.Writing have the data.</remarks>
internal sealed partial class StreamCore(PortSession port)
{
    private readonly Lock _lock = new();
    private readonly PortSession _port = port;
    private readonly WakeSource _startedWake = new();
    private readonly WakeSource _resultWake = new();
    private GuestStream? _handle;
    private string _operation = "";
    private uint _id;
    private StoredPayload _started;
    private StoredPayload _closing;
    private FrameType _closingType;
    private GuestChannelException? _failure;
    private bool _inUse;
    private bool _closed;
    private bool _cancelled;
    private bool _accepted;
    private bool _answered;
    private bool _waitingForStarted;
    private bool _waitingForResult;
    private int _calls;

    /// <summary>Begins a new stream.</summary>
    /// <param name="handle">Its owner's view.</param>
    /// <param name="id">Its id.</param>
    /// <param name="operation">The request's operation.</param>
    internal void Begin(GuestStream handle, uint id, string operation)
    {
        lock (_lock)
        {
            _inUse = true;
            _handle = handle;
            _id = id;
            _operation = operation;
            _sendCredit = ProtocolConstants.CreditWindow;
        }
    }

    /// <summary>The channel has died: every call under way or to come reports why.</summary>
    internal void Fail(GuestChannelException cause)
    {
        lock (_lock)
        {
            _failure ??= cause;
            _broken?.TrySetResult();
            WakeAll();
        }
    }

    /// <summary>Started has come.</summary>
    internal void OnStarted(in ReadOnlySequence<byte> payload)
    {
        lock (_lock)
        {
            if (_started.HasValue)
            {
                throw new GuestProtocolException(ProtocolViolation.StartedTwice, $"Stream {_id} was started twice.");
            }

            _started.Store(payload, FrameType.Started);
            _startedWake.Wake();
        }
    }

    /// <summary>Result or Error has come: the last frame of the stream. The port has forgotten it already.</summary>
    internal void OnClosed(FrameType type, in ReadOnlySequence<byte> payload)
    {
        lock (_lock)
        {
            _closing.Store(payload, type);
            _closingType = type;
            _closed = true;
            WakeAll();
            RecycleIfUnused();
        }
    }

    /// <summary>The stream's owner lets go: an unfinished stream is cancelled, and what the agent still sends is dropped.</summary>
    internal void Dispose(GuestStream handle)
    {
        bool over = false;
        uint id = 0;
        lock (_lock)
        {
            if (_handle != handle)
            {
                return;
            }

            if (_accepted)
            {
                over = SendAnswer(FrameType.Error, s_abandoned);
                id = _id;
            }
            else
            {
                SendCancel();
            }

            _handle = null;
            DropUnreadData();
            WakeAll();
            if (!over)
            {
                RecycleIfUnused();
            }
        }

        if (over)
        {
            _port.Forget(id);
            RecycleForgotten();
        }

        _port.Writer.Flush();
    }

    /// <summary>Whether Result or Error has come.</summary>
    internal bool HasEnded(GuestStream handle)
    {
        lock (_lock)
        {
            return _handle == handle && _closed;
        }
    }

    /// <summary>Asks the agent to stop.</summary>
    internal void Cancel(GuestStream handle)
    {
        lock (_lock)
        {
            ThrowIfUnusable(handle);
            if (_accepted)
            {
                throw new InvalidOperationException("The agent opened this stream: it is ended by an answer.");
            }

            SendCancel();
            WakeAll();
        }

        _port.Writer.Flush();
    }

    /// <summary>Sends a signal to the command.</summary>
    internal bool Signal(GuestStream handle, SignalRequest request)
    {
        using (JsonPayloadBuffer json = JsonPayloadBuffer.Write(
            request, ProtocolJsonContext.Default.SignalRequest, ProtocolConstants.MaxPayloadSize))
        {
            lock (_lock)
            {
                ThrowIfUnusable(handle);
                if (_closed || _cancelled || _accepted)
                {
                    return false;
                }

                _port.Writer.Append(FrameType.Signal, 0, _id, json.Written);
            }
        }

        _port.Writer.Flush();
        return true;
    }

    /// <summary>Waits for Started, or for the end of a request that had none.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<StartedReply?> GetStartedAsync(GuestStream handle, CancellationToken cancellationToken)
    {
        EnterExclusive(handle, ref _waitingForStarted);
        CancellationTokenRegistration registration = default;
        try
        {
            while (true)
            {
                ValueTask wake;
                lock (_lock)
                {
                    ThrowIfUnusable(handle);
                    if (_started.HasValue)
                    {
                        return Parse(_started, ProtocolJsonContext.Default.StartedReply, FrameType.Started);
                    }

                    if (_closed)
                    {
                        ThrowIfError();
                        return null;
                    }

                    cancellationToken.ThrowIfCancellationRequested();
                    wake = _startedWake.Arm();
                }

                registration = WakeOnCancel(registration, cancellationToken);
                await wake.ConfigureAwait(false);
            }
        }
        finally
        {
            await registration.DisposeAsync().ConfigureAwait(false);
            LeaveExclusive(ref _waitingForStarted);
        }
    }

    /// <summary>Waits for Result or Error.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<T> GetResultAsync<T>(GuestStream handle, JsonTypeInfo<T> typeInfo, CancellationToken cancellationToken)
    {
        EnterExclusive(handle, ref _waitingForResult);
        CancellationTokenRegistration registration = default;
        try
        {
            while (true)
            {
                ValueTask wake;
                lock (_lock)
                {
                    ThrowIfUnusable(handle);
                    if (_closed)
                    {
                        ThrowIfError();
                        return Parse(_closing, typeInfo, FrameType.Result);
                    }

                    cancellationToken.ThrowIfCancellationRequested();
                    wake = _resultWake.Arm();
                }

                registration = WakeOnCancel(registration, cancellationToken);
                await wake.ConfigureAwait(false);
            }
        }
        finally
        {
            await registration.DisposeAsync().ConfigureAwait(false);
            LeaveExclusive(ref _waitingForResult);
        }
    }

    /// <summary>A payload of the wrong shape is the guest breaking the rules, whenever it is found out.</summary>
    private T Parse<T>(in StoredPayload payload, JsonTypeInfo<T> typeInfo, FrameType type)
    {
        try
        {
            return payload.Read(typeInfo, type);
        }
        catch (GuestProtocolException e)
        {
            _port.Fail(e);
            throw;
        }
    }

    private void ThrowIfError()
    {
        if (_closed && _closingType == FrameType.Cancel)
        {
            throw new GuestOperationException(_operation, AgentErrorCodes.Cancelled, 0, "the guest closed the stream");
        }

        if (_closed && _closingType == FrameType.Error)
        {
            throw GuestOperationException.FromAgent(
                _operation, Parse(_closing, ProtocolJsonContext.Default.AgentError, FrameType.Error));
        }
    }

    private void ThrowIfUnusable(GuestStream handle)
    {
        ObjectDisposedException.ThrowIf(_handle != handle, handle);
        if (_failure is not null)
        {
            throw _failure.ForCaller();
        }
    }

    private void SendCancel()
    {
        if (!_closed && !_cancelled && _failure is null)
        {
            _cancelled = true;
            _port.Writer.Append(FrameType.Cancel, 0, _id, default);
        }
    }

    private CancellationTokenRegistration WakeOnCancel(CancellationTokenRegistration registration, CancellationToken cancellationToken)
    {
        if (registration != default || !cancellationToken.CanBeCanceled)
        {
            return registration;
        }

        // Waking all is harmless: each waiter looks at its own state again.
        return cancellationToken.UnsafeRegister(
            static state =>
            {
                var core = (StreamCore)state!;
                lock (core._lock)
                {
                    core.WakeAll();
                }
            },
            this);
    }

    private void WakeAll()
    {
        _startedWake.Wake();
        _resultWake.Wake();
        _readWake.Wake();
        _writeWake.Wake();
    }

    /// <summary>Counts a call in, of which there may be one of a kind at a time.</summary>
    private void EnterExclusive(GuestStream handle, ref bool busy)
    {
        lock (_lock)
        {
            ThrowIfUnusable(handle);
            if (busy)
            {
                throw new InvalidOperationException("Another call of the same kind is still waiting on this stream.");
            }

            busy = true;
            _calls++;
        }
    }

    private void LeaveExclusive(ref bool busy)
    {
        lock (_lock)
        {
            busy = false;
            _calls--;
            RecycleIfUnused();
        }
    }

    /// <summary>Makes the state ready for another stream once nobody refers to this one. The lock is held.</summary>
    private void RecycleIfUnused()
    {
        if (!_inUse || _handle is not null || !_closed || (_accepted && !_answered) || _calls > 0 || _lent || _failure is not null)
        {
            return;
        }

        _inUse = false;
        _operation = "";
        _started.Clear();
        _closing.Clear();
        _closed = false;
        _cancelled = false;
        _accepted = false;
        _answered = false;
        _broken = null;
        ResetReading();
        ResetWriting();
        _port.Recycle(this);
    }
}
