using System.Buffers;

namespace OpenSandbox.VirtioSerial;

/// <summary>A Ping that waits for its Pong. Reused; guarded by the channel's ping lock.</summary>
internal sealed class PingOperation
{
    private readonly byte[] _payload = new byte[ProtocolConstants.MaxPingSize];
    private int _length;

    /// <summary>Wakes the caller.</summary>
    internal WakeSource Wake { get; } = new();

    /// <summary>The Pong has come.</summary>
    internal bool Answered { get; set; }

    /// <summary>The caller has gone; whoever takes the operation off the queue recycles it.</summary>
    internal bool Abandoned { get; set; }

    /// <summary>Begins a new ping.</summary>
    internal void Begin(ReadOnlySpan<byte> payload)
    {
        payload.CopyTo(_payload);
        _length = payload.Length;
        Answered = false;
        Abandoned = false;
    }

    /// <summary>Whether a Pong is the answer to this ping.</summary>
    internal bool Matches(in ReadOnlySequence<byte> pong)
    {
        if (pong.Length != _length)
        {
            return false;
        }

        Span<byte> bytes = stackalloc byte[_length];
        pong.CopyTo(bytes);
        return bytes.SequenceEqual(_payload.AsSpan(0, _length));
    }
}
