using System.Buffers.Binary;
using System.Net;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <content>The session with the host, and what its frames do.</content>
internal sealed partial class NetworkLoop
{
    private const int MaxIncoming = 256;

    private void TakeFrames()
    {
        while (MayRead)
        {
            switch (_source.Next(out FrameHeader header, out ReadOnlySpan<byte> payload, out Preamble preamble))
            {
                case FrameSourceStatus.Frame:
                    OnFrame(header, payload);
                    break;
                case FrameSourceStatus.Preamble:
                    BeginSession(preamble);
                    break;
                case FrameSourceStatus.Broken:
                    LoseSession();
                    break;
                default:
                    return;
            }
        }
    }

    private void BeginSession(Preamble preamble)
    {
        DropStreams();
        _epoch = preamble.Epoch;
        _writer.BeginSession(preamble.SessionTag);
        Out.BeginSession(preamble.SessionTag);
        Span<byte> answer = stackalloc byte[ProtocolConstants.PreambleSize];
        new Preamble(preamble.Epoch, ProtocolConstants.Generation).Write(answer);
        _writer.Write(preamble.SessionTag, answer);
    }

    /// <summary>Stands still for a snapshot. If a new session has begun meanwhile, connections of the old one are reset.</summary>
    private void StandStill()
    {
        _mustFlush = false;
        if (Parking.Stay() is { } epoch)
        {
            _epoch = epoch;
            _portReady = true; // what came meanwhile was not this epoll's to report
            _beginAt = 1;
            DropStreams();
        }
    }

    private void LoseSession(ulong? expected = null)
    {
        _source.Reset(expected);
        _writer.BeginSession(0);
        Out.BeginSession(0);
        _mustFlush = false;
        DropStreams();
    }

    /// <summary>The session is over: programs of the guest see their connections reset, whoever asked something hears that nobody is there.</summary>
    private void DropStreams()
    {
        NetworkStream[] lost = [.. _streams.Values];
        _streams.Clear();
        _readable.Clear();
        _nextId = ProtocolConstants.FirstAgentStreamId;
        _ours = 0;
        Volatile.Write(ref _openStreams, 0);
        foreach (NetworkStream stream in lost)
        {
            stream.IsCancelled = true;
            stream.OnSessionLost();
        }
    }

    private void OnFrame(in FrameHeader header, ReadOnlySpan<byte> payload)
    {
        if (header.Type == FrameType.Open)
        {
            OnOpen(header, payload);
            return;
        }

        if (!_streams.TryGetValue(header.StreamId, out NetworkStream? stream))
        {
            return; // it has just ended
        }

        switch (header.Type)
        {
            case FrameType.Data when header.Flags == (byte)DataChannel.Content && payload.Length <= stream.InboundRoom:
                stream.Arrived(payload.Length);
                stream.OnData(payload);
                break;
            case FrameType.End:
                stream.OnEnd();
                break;
            case FrameType.Credit when BinaryPrimitives.ReadUInt32LittleEndian(payload) is > 0 and <= ProtocolConstants.CreditWindow:
                stream.OnCredit((int)BinaryPrimitives.ReadUInt32LittleEndian(payload));
                break;
            case FrameType.Cancel when !stream.IsOurs:
                stream.OnCancel();
                break;
            case FrameType.Started when stream.IsOurs:
                break; // bytes may go before it as well as after
            case FrameType.Result or FrameType.Error when stream.IsOurs:
                stream.OnAnswer(header.Type == FrameType.Result, payload);
                break;
            default:
                KernelConsole.WriteLine($"opensandbox-agent: network: the host broke the rules with {header.Type}");
                LoseSession();
                break;
        }
    }

    private void OnOpen(in FrameHeader header, ReadOnlySpan<byte> payload)
    {
        uint id = header.StreamId;
        try
        {
            if (header.Flags != 0 || id >= ProtocolConstants.FirstAgentStreamId || _streams.ContainsKey(id))
            {
                LoseSession();
                return;
            }

            OpenRequest request = RequestParser.Parse(payload);
            if (request.Op != Operations.Connect || request.Tcp is not { Port: > 0 and <= 65_535 } target)
            {
                throw GuestException.Coded(AgentErrorCodes.InvalidRequest, $"no operation '{request.Op}' with these parameters on the network port");
            }

            Connect(id, target);
        }
        catch (GuestException exception)
        {
            SendError(id, AgentErrors.From(exception));
        }
    }

    private void Connect(uint id, TcpRequest target)
    {
        if (!IsUp)
        {
            throw GuestException.Coded(AgentErrorCodes.NotResumed, "the sandbox has not been resumed");
        }

        if (_streams.Count - _ours >= MaxIncoming)
        {
            throw GuestException.Coded(AgentErrorCodes.LimitReached, $"more than {MaxIncoming} connections into the sandbox");
        }

        Tunnel tunnel;
        if (target.Address is null)
        {
            tunnel = Tunnel.Incoming(
                this, id, SocketAddress.From(IPAddress.Loopback, target.Port), SocketAddress.From(IPAddress.IPv6Loopback, target.Port));
        }
        else if (IPAddress.TryParse(target.Address, out IPAddress? address))
        {
            tunnel = Tunnel.Incoming(this, id, SocketAddress.From(address, target.Port));
        }
        else
        {
            throw GuestException.Coded(AgentErrorCodes.InvalidRequest, "address: an IP address");
        }

        Add(tunnel);
        tunnel.ConnectNext();
    }
}
