using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Puts requests together that came in several Open frames. One thread's own.</summary>
internal sealed class RequestAssembler
{
    private const int MaxUnfinished = 16;
    private readonly Dictionary<uint, byte[]> _unfinished = [];

    /// <summary>Drops what is unfinished.</summary>
    internal void Clear() => _unfinished.Clear();

    /// <summary>Drops one unfinished request.</summary>
    internal void Drop(uint streamId) => _unfinished.Remove(streamId);

    /// <summary>Adds an Open frame.</summary>
    /// <returns>The request, when it is complete.</returns>
    /// <exception cref="GuestException">It is too large, or no valid request.</exception>
    internal OpenRequest? Add(in FrameHeader header, ReadOnlySpan<byte> payload)
    {
        bool known = _unfinished.Remove(header.StreamId, out byte[]? earlier);
        bool more = header.Flags == ProtocolConstants.ContinuedFlag;
        if (!known && !more)
        {
            return RequestParser.Parse(payload);
        }

        byte[] whole = [.. earlier ?? [], .. payload];
        if (whole.Length > ProtocolConstants.MaxRequestSize)
        {
            GuestException.ThrowInvalid($"request larger than {ProtocolConstants.MaxRequestSize} bytes");
        }

        if (!more)
        {
            return RequestParser.Parse(whole);
        }

        if (_unfinished.Count == MaxUnfinished)
        {
            throw GuestException.Coded(AgentErrorCodes.LimitReached, "too many unfinished requests");
        }

        _unfinished[header.StreamId] = whole;
        return null;
    }
}
