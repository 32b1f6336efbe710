using System.Buffers.Binary;
using System.Text.Json;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <content>What frames of the host do.</content>
internal sealed partial class BulkLoop
{
    private void OnFrame(in FrameHeader header, ReadOnlySpan<byte> payload)
    {
        if (header.Type == FrameType.Open)
        {
            OnOpen(header, payload);
            return;
        }

        if (!_streams.TryGetValue(header.StreamId, out BulkStream? stream))
        {
            _requests.Drop(header.StreamId);
            _dropped++; // the stream may just have ended
            return;
        }

        switch (header.Type)
        {
            case FrameType.Data when header.Flags != (byte)DataChannel.Content || payload.Length > stream.InboundRoom:
                KernelConsole.WriteLine("opensandbox-agent: bulk: the host broke the rules of Data frames");
                LoseSession();
                break;
            case FrameType.Data:
                stream.AddInboundRoom(-payload.Length);
                stream.OnData(payload);
                break;
            case FrameType.End:
                stream.OnEnd();
                break;
            case FrameType.Credit:
                OnCredit(stream, BinaryPrimitives.ReadUInt32LittleEndian(payload));
                break;
            case FrameType.Cancel:
                stream.OnCancel();
                break;
            case FrameType.Signal:
                OnSignal(stream, payload);
                break;
            default:
                LoseSession(); // a frame that only the agent sends, or one for the control port
                break;
        }
    }

    private void OnCredit(BulkStream stream, uint bytes)
    {
        if (bytes is 0 or > ProtocolConstants.CreditWindow)
        {
            LoseSession();
            return;
        }

        stream.OnCredit((int)bytes);
    }

    private void OnSignal(BulkStream stream, ReadOnlySpan<byte> payload)
    {
        try
        {
            if (JsonSerializer.Deserialize(payload, ProtocolJsonContext.Default.SignalRequest) is { Signal: >= 1 and <= 64 } signal)
            {
                stream.OnSignal(signal);
                return;
            }
        }
        catch (JsonException)
        {
            // Same as a number out of range: a Signal frame has no answer of its own, so breaking the rules ends the session.
        }

        LoseSession();
    }

    private void OnOpen(in FrameHeader header, ReadOnlySpan<byte> payload)
    {
        uint id = header.StreamId;
        try
        {
            if (_streams.ContainsKey(id) || id >= ProtocolConstants.FirstAgentStreamId)
            {
                LoseSession();
                return;
            }

            if (_requests.Add(header, payload) is { } request)
            {
                Start(id, request);
            }
        }
        catch (Exception exception)
        {
            // Whatever one request does wrong, or meets with, is that request's answer.
            if (_streams.TryGetValue(id, out BulkStream? failed))
            {
                Fail(failed, AgentErrors.From(exception));
            }
            else
            {
                SendError(id, AgentErrors.From(exception));
            }
        }
    }

    private void Start(uint id, OpenRequest request)
    {
        if (_state.DecisionFor(_epoch) != ResumeDecision.Resumed)
        {
            throw GuestException.Coded(AgentErrorCodes.NotResumed, "the sandbox has not been resumed");
        }

        if (_streams.Count >= MaxStreams)
        {
            throw GuestException.Coded(AgentErrorCodes.LimitReached, $"more than {MaxStreams} streams are open");
        }

        switch (request.Op)
        {
            case Operations.Exec when request.Exec is { } exec:
                var command = new ExecStream(this, id, exec);
                Open(command);
                command.Start();
                break;
            case Operations.Sink:
                var sink = new SinkStream(this, id);
                Open(sink);
                SendStarted(id, new StartedReply());
                break;
            case Operations.Source when request.Length is >= 0:
                var source = new SourceStream(this, id, request.Length.Value);
                Open(source);
                SendStarted(id, new StartedReply());
                source.Send();
                break;
            case Operations.Write or Operations.Read or Operations.Stat or Operations.List or Operations.MakeDirectory or Operations.Remove
                when request.File is { } file:
                FileJob job = Files.Create(id, request.Op, file);
                Open(job);
                Files.Begin(job);
                break;
            case var _ when ProcessOperations.TryBegin(this, id, request, Open):
                break;
            default:
                if (Files.Create(id, request) is { } other)
                {
                    Open(other);
                    Files.Submit(other);
                    break;
                }

                GuestException.ThrowInvalid($"no operation '{request.Op}' with these parameters on the bulk port");
                break;
        }
    }

    /// <summary>Adds a Started frame; it may wait a moment for company.</summary>
    internal void SendStarted(uint id, StartedReply reply)
    {
        Out.AddJson(FrameType.Started, id, reply, ProtocolJsonContext.Default.StartedReply);
        NoteStarted();
    }

    private void Open(BulkStream stream)
    {
        _streams.Add(stream.Id, stream);
        Interlocked.Increment(ref _openStreams);
    }
}
