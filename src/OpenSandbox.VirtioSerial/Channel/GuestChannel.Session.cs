using System.Buffers;
using System.Runtime.CompilerServices;

namespace OpenSandbox.VirtioSerial;

/// <content>The session itself, stream 0 of the control port: Hello and Ping; GuestChannel.Quiesce has Quiesce and Thaw.</content>
public sealed partial class GuestChannel
{
    /// <summary>Pings without an answer; the next one waits. Bounds what a silent guest makes a caller with short deadlines pile up.</summary>
    private const int MaxPings = 64;

    private readonly TaskCompletionSource<AgentHello> _hello = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _sessionLock = new();
    private readonly SemaphoreSlim _pingSlots = new(MaxPings);
    private readonly Queue<PingOperation> _pings = new();
    private readonly Stack<PingOperation> _sparePings = new();
    private AgentHello? _received;
    private bool _bulkEstablished;

    /// <summary>Waits until the agent has answered on the control and bulk ports; the network port is not waited for.</summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>What the agent says about itself. The guest wrote it: words for people, nothing to rely on.</returns>
    /// <exception cref="GuestChannelException">The channel has ended.</exception>
    public async Task<AgentHello> WaitForHelloAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfFailed();
        try
        {
            return await _hello.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (GuestChannelException e) when (ReferenceEquals(e, Failure))
        {
            throw e.ForCaller();
        }
    }

    /// <summary>Sends bytes to the agent and waits for them to come back.</summary>
    /// <param name="payload">0 to <see cref="ProtocolConstants.MaxPingSize"/> bytes.</param>
    /// <param name="cancellationToken">Ends the wait. The answer is still expected, so pings stay in order.</param>
    /// <returns>The time from the call to the answer.</returns>
    /// <exception cref="ArgumentException">The payload is too long.</exception>
    /// <exception cref="GuestChannelException">The channel has ended.</exception>
    /// <remarks>With 64 pings unanswered, another one waits for a place.</remarks>
    public ValueTask<TimeSpan> PingAsync(ReadOnlyMemory<byte> payload, CancellationToken cancellationToken = default)
    {
        if (payload.Length > ProtocolConstants.MaxPingSize)
        {
            throw new ArgumentException($"A ping carries at most {ProtocolConstants.MaxPingSize} bytes.", nameof(payload));
        }

        return PingCoreAsync(payload, cancellationToken);
    }

    /// <summary>The agent has answered the preamble of a port.</summary>
    internal void OnPreamble(GuestPort port, Preamble answer)
    {
        CheckGeneration(answer.Generation);
        if (port == GuestPort.Bulk)
        {
            lock (_sessionLock)
            {
                _bulkEstablished = true;
                CompleteHello();
            }
        }
    }

    /// <summary>A frame of stream 0 has come.</summary>
    internal void OnSessionFrame(GuestPort port, FrameType type, in ReadOnlySequence<byte> payload)
    {
        if (port != GuestPort.Control || type is not (FrameType.Hello or FrameType.Pong or FrameType.Quiesced or FrameType.Thawed))
        {
            throw new GuestProtocolException(ProtocolViolation.WrongDirection, $"The guest sent {type} on the {port} port.");
        }

        if (type == FrameType.Hello)
        {
            OnHello(payload);
            return;
        }

        RequireHello(type);
        switch (type)
        {
            case FrameType.Pong:
                OnPong(payload);
                break;
            case FrameType.Quiesced:
                OnQuiesced(payload);
                break;
            default:
                OnThawed(payload);
                break;
        }
    }

    /// <summary>Hello is the first frame on the control port. Called by that port's reader loop, which also sets it.</summary>
    internal void RequireHello(FrameType type)
    {
        if (_received is null)
        {
            throw new GuestProtocolException(ProtocolViolation.OutOfOrder, $"{type} ahead of Hello.");
        }
    }

    private void AppendWelcome()
    {
        using JsonPayloadBuffer json = JsonPayloadBuffer.Write(
            new HostWelcome { Generation = _options.AgreedGeneration }, ProtocolJsonContext.Default.HostWelcome, ProtocolConstants.MaxPayloadSize);
        _control.Writer.Append(FrameType.Welcome, 0, 0, json.Written);
    }

    private void CheckGeneration(int generation)
    {
        if (generation < _options.AgreedGeneration || generation > ushort.MaxValue)
        {
            throw new GuestProtocolException(
                ProtocolViolation.WrongGeneration, $"The agent speaks generation {generation}; the session was opened with {_options.AgreedGeneration}.");
        }
    }

    private void OnHello(in ReadOnlySequence<byte> payload)
    {
        AgentHello hello = StoredPayload.Parse(payload, ProtocolJsonContext.Default.AgentHello, FrameType.Hello);
        CheckGeneration(hello.Generation);
        lock (_sessionLock)
        {
            if (_received is not null)
            {
                throw new GuestProtocolException(ProtocolViolation.OutOfOrder, "A second Hello.");
            }

            _received = hello;
            CompleteHello();
        }
    }

    private void CompleteHello()
    {
        if (_bulkEstablished && _received is not null)
        {
            _hello.TrySetResult(_received);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<TimeSpan> PingCoreAsync(ReadOnlyMemory<byte> payload, CancellationToken cancellationToken)
    {
        long start = _options.TimeProvider.GetTimestamp();
        await _pingSlots.WaitAsync(cancellationToken).ConfigureAwait(false);
        PingOperation ping = BeginPing(payload.Span);
        CancellationTokenRegistration registration = default;
        try
        {
            _control.Writer.Flush();
            while (true)
            {
                ValueTask wake;
                lock (_sessionLock)
                {
                    if (ping.Answered)
                    {
                        return _options.TimeProvider.GetElapsedTime(start);
                    }

                    ThrowIfFailed();
                    cancellationToken.ThrowIfCancellationRequested();
                    wake = ping.Wake.Arm();
                }

                if (registration == default && cancellationToken.CanBeCanceled)
                {
                    registration = cancellationToken.UnsafeRegister(static state => ((GuestChannel)state!).WakePings(), this);
                }

                await wake.ConfigureAwait(false);
            }
        }
        finally
        {
            await registration.DisposeAsync().ConfigureAwait(false);
            EndPing(ping);
        }
    }

    private PingOperation BeginPing(ReadOnlySpan<byte> payload)
    {
        lock (_sessionLock)
        {
            if (Failure is not null)
            {
                _pingSlots.Release();
                ThrowIfFailed();
            }

            PingOperation ping = _sparePings.TryPop(out PingOperation? spare) ? spare : new PingOperation();
            ping.Begin(payload);
            _pings.Enqueue(ping);
            _control.Writer.Append(FrameType.Ping, 0, 0, payload);
            return ping;
        }
    }

    private void EndPing(PingOperation ping)
    {
        lock (_sessionLock)
        {
            if (ping.Answered || Failure is not null)
            {
                ReleasePing(ping);
            }
            else
            {
                ping.Abandoned = true; // Its Pong is still to come, and has its place in the order.
            }
        }
    }

    private void ReleasePing(PingOperation ping)
    {
        _sparePings.Push(ping);
        _pingSlots.Release();
    }

    private void WakePings()
    {
        lock (_sessionLock)
        {
            foreach (PingOperation ping in _pings)
            {
                ping.Wake.Wake();
            }
        }
    }

    private void OnPong(in ReadOnlySequence<byte> payload)
    {
        lock (_sessionLock)
        {
            if (!_pings.TryPeek(out PingOperation? ping))
            {
                throw new GuestProtocolException(ProtocolViolation.OutOfOrder, "Pong, which nobody asked for.");
            }

            if (!ping.Matches(payload))
            {
                throw new GuestProtocolException(ProtocolViolation.WrongPong, "Pong with other bytes than those of the oldest Ping.");
            }

            _pings.Dequeue(); // Only now: a ping that is not answered must be here when the channel ends.
            ping.Answered = true;
            if (ping.Abandoned)
            {
                ReleasePing(ping);
            }
            else
            {
                ping.Wake.Wake();
            }
        }
    }

    private void FailSession(GuestChannelException cause)
    {
        lock (_sessionLock)
        {
            foreach (PingOperation ping in _pings)
            {
                if (ping.Abandoned)
                {
                    ReleasePing(ping); // its Pong will not come, and a further ping may wait for the place
                }
                else
                {
                    ping.Wake.Wake();
                }
            }

            _pings.Clear();
        }

        FailQuiesce(cause);
        if (_hello.TrySetException(cause))
        {
            _ = _hello.Task.Exception; // Observed: nobody has to wait for Hello.
        }
    }
}
