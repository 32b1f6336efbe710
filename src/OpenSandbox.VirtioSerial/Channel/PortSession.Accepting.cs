using System.Buffers;
using System.Threading.Channels;

namespace OpenSandbox.VirtioSerial;

/// <content>Streams that the agent opens. Such a stream is over when it has been answered and the agent has sent its Cancel.</content>
internal sealed partial class PortSession
{
    // Never full: the guest may not have more streams open than fit.
    private readonly Channel<AgentStream> _incoming = System.Threading.Channels.Channel.CreateBounded<AgentStream>(
        new BoundedChannelOptions(ProtocolConstants.MaxAgentStreams) { SingleWriter = true });

    private uint _nextAgentId = ProtocolConstants.FirstAgentStreamId;
    private int _accepted;

    /// <summary>Streams of the agent that nobody has taken yet.</summary>
    internal ChannelReader<AgentStream> Incoming => _incoming.Reader;

    /// <summary>A stream of the agent's is over: nothing more can come for it.</summary>
    internal void Forget(uint id)
    {
        lock (_streamsLock)
        {
            if (_streams.Remove(id))
            {
                _accepted--;
            }
        }
    }

    private void DispatchToAccepted(in FrameHeader header, in ReadOnlySequence<byte> payload)
    {
        if (header.Type == FrameType.Open)
        {
            Accept(header, payload);
            return;
        }

        if (header.Type is not (FrameType.Data or FrameType.Credit or FrameType.End or FrameType.Cancel))
        {
            throw new GuestProtocolException(
                ProtocolViolation.WrongDirection, $"The guest sent {header.Type} on a stream of its own, which the host answers.");
        }

        StreamCore? stream;
        lock (_streamsLock)
        {
            _streams.TryGetValue(header.StreamId, out stream);
        }

        if (stream is null)
        {
            // Its Cancel is the agent's last frame, so not even a race explains this.
            throw new GuestProtocolException(
                ProtocolViolation.UnknownStream, $"{header.Type} for stream {header.StreamId} of the {Port} port, which is not open.");
        }

        switch (header.Type)
        {
            case FrameType.Data:
                stream.OnData((DataChannel)header.Flags, payload);
                break;
            case FrameType.Credit:
                stream.OnCredit(payload);
                break;
            case FrameType.End:
                stream.OnEnd();
                break;
            default:
                if (stream.OnCancel())
                {
                    Forget(header.StreamId);
                    stream.RecycleForgotten();
                }

                break;
        }
    }

    private void Accept(in FrameHeader header, in ReadOnlySequence<byte> payload)
    {
        if (Port != GuestPort.Network || header.Flags != 0 || header.StreamId < _nextAgentId || header.StreamId == uint.MaxValue)
        {
            throw new GuestProtocolException(
                ProtocolViolation.InvalidOpen, $"The guest may not open stream {header.StreamId} on the {Port} port with flags {header.Flags}.");
        }

        _nextAgentId = header.StreamId + 1;
        OpenRequest request = StoredPayload.Parse(payload, ProtocolJsonContext.Default.OpenRequest, FrameType.Open);
        AgentStream handle;
        StreamCore core;
        lock (_streamsLock)
        {
            _channel.ThrowIfFailed(); // its end has passed the table by already: nobody would ever end this stream
            if (++_accepted > ProtocolConstants.MaxAgentStreams)
            {
                throw new GuestProtocolException(
                    ProtocolViolation.TooManyAgentStreams, $"The guest has more than {ProtocolConstants.MaxAgentStreams} streams open.");
            }

            core = TakeSpare() ?? new StreamCore(this);
            var stream = new GuestStream(core, header.StreamId);
            Task broken = core.BeginAccepted(stream, header.StreamId, request.Op, hasData: request.Op == Operations.Tcp);
            _streams.Add(header.StreamId, core);
            handle = new AgentStream(stream, core, request, broken);
        }

        if (!_incoming.Writer.TryWrite(handle))
        {
            // Streams that are over wait here only until they are taken; a guest that opens and cancels faster than that is refused.
            core.Dispose(handle.Data);
        }
    }
}
