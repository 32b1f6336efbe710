using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.VirtioSerial;

/// <content>Streams that the agent has opened: this side answers, and the agent's Cancel is the last frame.</content>
internal sealed partial class StreamCore
{
    private static readonly byte[] s_abandoned = System.Text.Json.JsonSerializer.SerializeToUtf8Bytes(
        new AgentError { Code = AgentErrorCodes.Cancelled, Message = "the host closed the stream" }, ProtocolJsonContext.Default.AgentError);

    private TaskCompletionSource? _broken;

    /// <summary>Begins a stream that the agent has opened.</summary>
    /// <param name="handle">Its owner's view.</param>
    /// <param name="id">Its id.</param>
    /// <param name="operation">The request's operation.</param>
    /// <param name="hasData">Whether such a request has Data: without, a guest could have this side keep a window of it for nothing.</param>
    /// <returns>Completes when the agent sends nothing more on the stream, or the channel has died.</returns>
    internal Task BeginAccepted(GuestStream handle, uint id, string operation, bool hasData)
    {
        Begin(handle, id, operation);
        lock (_lock)
        {
            _accepted = true;
            _receivedEnd = !hasData;
            _broken = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _broken.Task;
        }
    }

    /// <summary>The agent's Cancel has come: it sends nothing more on this stream.</summary>
    /// <returns>Whether the stream is over, as it has been answered.</returns>
    internal bool OnCancel()
    {
        lock (_lock)
        {
            if (_closed)
            {
                throw new GuestProtocolException(ProtocolViolation.DataAfterEnd, $"A second Cancel on stream {_id}.");
            }

            _closed = true;
            _closingType = FrameType.Cancel;
            _broken?.TrySetResult();
            WakeAll();
            return _answered;
        }
    }

    /// <summary>The port has forgotten the stream: nothing more can come for it.</summary>
    internal void RecycleForgotten()
    {
        lock (_lock)
        {
            RecycleIfUnused();
        }
    }

    /// <summary>Tells the agent that the request is under way.</summary>
    internal void SendStarted(GuestStream handle)
    {
        lock (_lock)
        {
            ThrowIfUnusable(handle);
            if (_answered || _closed)
            {
                return;
            }

            _port.Writer.Append(FrameType.Started, 0, _id, "{}"u8);
        }

        _port.Writer.Flush();
    }

    /// <summary>Answers the agent's request, once.</summary>
    internal void Answer<T>(GuestStream handle, FrameType type, T answer, JsonTypeInfo<T> typeInfo)
    {
        bool over;
        uint id;
        using (JsonPayloadBuffer json = JsonPayloadBuffer.Write(answer, typeInfo, ProtocolConstants.MaxPayloadSize))
        {
            lock (_lock)
            {
                ThrowIfUnusable(handle);
                id = _id;
                over = SendAnswer(type, json.Written);
                WakeAll();
            }
        }

        if (over)
        {
            _port.Forget(id);
        }

        _port.Writer.Flush();
    }

    /// <summary>Appends the answer unless there has been one. The lock is held.</summary>
    /// <returns>Whether the stream is over with it.</returns>
    private bool SendAnswer(FrameType type, ReadOnlySpan<byte> json)
    {
        if (_answered || _failure is not null)
        {
            return false;
        }

        _answered = true;
        _port.Writer.Append(type, 0, _id, json);
        return _closed;
    }
}
