using System.Text.Json.Serialization.Metadata;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>
/// Gathers whole frames so that several leave in one write: each write to the port is an exit of the virtual machine. One thread's own.
/// </summary>
/// <param name="writer">The port.</param>
/// <param name="patient">Whether a flush may wait for the port: never on the thread that owns the port's events.</param>
internal sealed class FrameBuffer(PortWriter writer, bool patient = false)
{
    private const int Overhead = ProtocolConstants.HeaderSize + ProtocolConstants.TrailerSize;

    private readonly byte[] _bytes = new byte[ProtocolConstants.MaxFrameSize];
    private readonly ReplyWriter _replies = new();
    private int _used;
    private uint _tag;

    /// <summary>Payload bytes that a further frame may have without a flush.</summary>
    internal int FreePayload => Math.Max(0, _bytes.Length - _used - Overhead);

    /// <summary>Whether nothing waits to be written.</summary>
    internal bool IsEmpty => _used == 0;

    /// <summary>Begins a session; frames gathered for the last one are dropped.</summary>
    internal void BeginSession(uint sessionTag)
    {
        _used = 0;
        _tag = sessionTag;
    }

    /// <summary>Where the payload of the next frame can be put in place: at least <paramref name="atLeast"/> bytes.</summary>
    internal Span<byte> Payload(int atLeast)
    {
        if (FreePayload < atLeast)
        {
            Flush();
        }

        return _bytes.AsSpan(_used + ProtocolConstants.HeaderSize, FreePayload);
    }

    /// <summary>Room for bytes that are no frame, such as a preamble. They count as written.</summary>
    internal Span<byte> Reserve(int count)
    {
        if (_bytes.Length - _used < count)
        {
            Flush();
        }

        _used += count;
        return _bytes.AsSpan(_used - count, count);
    }

    /// <summary>Makes a frame of what was put into <see cref="Payload"/>.</summary>
    internal void Commit(FrameType type, byte flags, uint streamId, int payloadLength) =>
        _used += FrameWriter.Seal(_bytes.AsSpan(_used), type, flags, streamId, _tag, payloadLength);

    /// <summary>Adds a frame.</summary>
    internal void Add(FrameType type, byte flags, uint streamId, ReadOnlySpan<byte> payload)
    {
        payload.CopyTo(Payload(payload.Length));
        Commit(type, flags, streamId, payload.Length);
    }

    /// <summary>Adds a frame with a JSON payload. One that does not fit a frame, such as a link target full of control characters,
    /// becomes an Error.</summary>
    internal void AddJson<T>(FrameType type, uint streamId, T message, JsonTypeInfo<T> shape)
    {
        ReadOnlySpan<byte> payload = _replies.Write(message, shape);
        if (payload.Length > ProtocolConstants.MaxPayloadSize)
        {
            type = FrameType.Error;
            payload = _replies.Write(
                AgentErrors.Make(AgentErrorCodes.LimitReached, 0, "the answer is larger than a frame"), ProtocolJsonContext.Default.AgentError);
        }

        Add(type, 0, streamId, payload);
    }

    /// <summary>Adds a Credit frame.</summary>
    internal void AddCredit(uint streamId, int bytes)
    {
        System.Buffers.Binary.BinaryPrimitives.WriteInt32LittleEndian(Payload(sizeof(int)), bytes);
        Commit(FrameType.Credit, 0, streamId, sizeof(int));
    }

    /// <summary>Hands everything gathered to the port.</summary>
    internal void Flush()
    {
        if (_used > 0)
        {
            int count = _used;
            _used = 0;
            if (patient)
            {
                writer.WriteWhenDrained(_tag, _bytes.AsSpan(0, count));
            }
            else
            {
                writer.Write(_tag, _bytes.AsSpan(0, count));
            }
        }
    }
}
