using System.Buffers;
using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.VirtioSerial;

/// <content>How a guest comes to stand still for a snapshot, and goes on: Quiesce and Thaw.</content>
public sealed partial class GuestChannel
{
    private TaskCompletionSource<QuiesceReply>? _quiesce;
    private TaskCompletionSource<ThawedReply>? _thaw;
    private bool _standsStill;

    /// <summary>Asks the agent to become idle, so that the VM can be saved.</summary>
    /// <param name="request">How.</param>
    /// <param name="cancellationToken">
    /// Ends the wait; whether the agent is idle is unknown then, and nothing may be saved. After a quiesce with
    /// <see cref="QuiesceRequest.Snapshot"/> call <see cref="ThawAsync"/> in that case, too.
    /// </param>
    /// <returns>
    /// The agent's answer. After <c>Ok</c> it sends nothing until the next session, or with <see cref="QuiesceRequest.Snapshot"/> until
    /// <see cref="ThawAsync"/>.
    /// </returns>
    /// <exception cref="InvalidOperationException">
    /// An earlier Quiesce has not been answered yet, or the guest stands still for a snapshot already.
    /// </exception>
    /// <exception cref="ArgumentException">The watchdog's time is out of range, or both kinds of quiesce are asked for.</exception>
    /// <exception cref="GuestChannelException">The channel has ended.</exception>
    /// <remarks>
    /// With <see cref="QuiesceRequest.Snapshot"/> everything else that is sent on the control port (pings, requests) waits in this process until
    /// the guest refuses or is thawed, so that no half frame lies in the port when the VM is saved. Streams stay open; what is written to them
    /// meanwhile waits as well, in the connection. A VM is saved as what it was only if it was stopped within
    /// <see cref="QuiesceRequest.WatchdogMilliseconds"/> of this call: after that the guest runs again.
    /// </remarks>
    public Task<QuiesceReply> QuiesceAsync(QuiesceRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request.WatchdogMilliseconds is < QuiesceRequest.MinWatchdogMilliseconds or > QuiesceRequest.MaxWatchdogMilliseconds)
        {
            throw new ArgumentOutOfRangeException(
                nameof(request), request.WatchdogMilliseconds, $"{nameof(QuiesceRequest.WatchdogMilliseconds)} is out of range.");
        }

        if (request.Snapshot && request.ZeroFreeMemory)
        {
            throw new ArgumentException("Memory is filled with zeroes for golden snapshots only.", nameof(request));
        }

        return AskAsync<QuiesceRequest, QuiesceReply>(
            FrameType.Quiesce,
            request.Snapshot ? FrameOrder.Last : FrameOrder.Ordinary,
            request,
            ProtocolJsonContext.Default.QuiesceRequest,
            reply =>
            {
                ThrowIfUnanswered(_quiesce, "Quiesce");
                if (_standsStill)
                {
                    throw new InvalidOperationException("The guest is quiesced for a snapshot; it must be thawed first.");
                }

                _quiesce = reply;
                _standsStill = request.Snapshot;
            },
            cancellationToken);
    }

    /// <summary>
    /// Lets a guest go on that was quiesced with <see cref="QuiesceRequest.Snapshot"/>, in this session: its clock is set, its random numbers
    /// are seeded anew, and its processes and all streams go on.
    /// </summary>
    /// <param name="request">Clock and entropy.</param>
    /// <param name="cancellationToken">Ends the wait; the guest goes on all the same.</param>
    /// <returns>
    /// The agent's answer. <see cref="ThawedReply.WatchdogFired"/> says that the guest has been running before: what was saved meanwhile is no
    /// snapshot of a guest that stood still.
    /// </returns>
    /// <exception cref="InvalidOperationException">An earlier Thaw has not been answered yet.</exception>
    /// <exception cref="GuestChannelException">The channel has ended.</exception>
    public Task<ThawedReply> ThawAsync(ThawRequest request, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        return AskAsync<ThawRequest, ThawedReply>(
            FrameType.Thaw,
            FrameOrder.Urgent,
            request,
            ProtocolJsonContext.Default.ThawRequest,
            reply =>
            {
                ThrowIfUnanswered(_thaw, "Thaw");
                _thaw = reply;
            },
            cancellationToken);
    }

    private static void ThrowIfUnanswered(object? earlier, string what)
    {
        if (earlier is not null)
        {
            throw new InvalidOperationException($"An earlier {what} has not been answered yet.");
        }
    }

    /// <summary>Sends a request on stream 0 and waits for its answer.</summary>
    /// <param name="type">The frame.</param>
    /// <param name="order">How it stands to other frames of the port.</param>
    /// <param name="request">Its payload.</param>
    /// <param name="shape">The payload's shape.</param>
    /// <param name="expect">Notes who waits; under the session's lock, may refuse by throwing.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    private async Task<TReply> AskAsync<TRequest, TReply>(
        FrameType type,
        FrameOrder order,
        TRequest request,
        JsonTypeInfo<TRequest> shape,
        Action<TaskCompletionSource<TReply>> expect,
        CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var reply = new TaskCompletionSource<TReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        using (JsonPayloadBuffer json = JsonPayloadBuffer.Write(request, shape, ProtocolConstants.MaxPayloadSize))
        {
            lock (_sessionLock)
            {
                ThrowIfFailed();
                expect(reply);
                _control.Writer.Append(type, 0, 0, json.Written, order);
            }
        }

        _control.Writer.Flush();
        try
        {
            return await reply.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (GuestChannelException e) when (ReferenceEquals(e, Failure))
        {
            throw e.ForCaller();
        }
    }

    private void OnQuiesced(in ReadOnlySequence<byte> payload)
    {
        QuiesceReply reply = StoredPayload.Parse(payload, ProtocolJsonContext.Default.QuiesceReply, FrameType.Quiesced);
        TaskCompletionSource<QuiesceReply> waiting;
        bool refused;
        lock (_sessionLock)
        {
            waiting = _quiesce ?? throw new GuestProtocolException(ProtocolViolation.OutOfOrder, "Quiesced, which nobody asked for.");
            _quiesce = null;
            refused = _standsStill && !reply.Ok;
            _standsStill = _standsStill && reply.Ok;
        }

        if (refused)
        {
            EndHold();
        }

        waiting.TrySetResult(reply);
    }

    private void OnThawed(in ReadOnlySequence<byte> payload)
    {
        ThawedReply reply = StoredPayload.Parse(payload, ProtocolJsonContext.Default.ThawedReply, FrameType.Thawed);
        TaskCompletionSource<ThawedReply> waiting;
        lock (_sessionLock)
        {
            if (_quiesce is not null)
            {
                throw new GuestProtocolException(ProtocolViolation.OutOfOrder, "Thawed ahead of Quiesced.");
            }

            waiting = _thaw ?? throw new GuestProtocolException(ProtocolViolation.OutOfOrder, "Thawed, which nobody asked for.");
            _thaw = null;
            _standsStill = false;
        }

        EndHold();
        waiting.TrySetResult(reply);
    }

    private void EndHold()
    {
        _control.Writer.Release();
        _control.Writer.Flush();
    }

    private void FailQuiesce(GuestChannelException cause)
    {
        TaskCompletionSource<QuiesceReply>? quiesce;
        TaskCompletionSource<ThawedReply>? thaw;
        lock (_sessionLock)
        {
            (quiesce, thaw) = (_quiesce, _thaw);
        }

        // Observed here: whoever asked may have gone.
        if (quiesce is not null && quiesce.TrySetException(cause))
        {
            _ = quiesce.Task.Exception;
        }

        if (thaw is not null && thaw.TrySetException(cause))
        {
            _ = thaw.Task.Exception;
        }
    }
}
