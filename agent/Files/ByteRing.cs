using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>The bytes of one window, between the loop that fills and the worker that empties. Not thread-safe: its user locks.</summary>
internal sealed class ByteRing
{
    private readonly byte[] _bytes = new byte[ProtocolConstants.CreditWindow];
    private int _head;

    /// <summary>Bytes in the ring.</summary>
    internal int Count { get; private set; }

    /// <summary>The first bytes that lie in one piece: stay where they are until <see cref="Drop"/>, also while more are added.</summary>
    internal ReadOnlySpan<byte> First => _bytes.AsSpan(_head, Math.Min(Count, _bytes.Length - _head));

    /// <summary>Empties the ring.</summary>
    internal void Clear() => _head = Count = 0;

    /// <summary>Adds bytes. The window says that there is room.</summary>
    internal void Add(ReadOnlySpan<byte> bytes)
    {
        int tail = (_head + Count) % _bytes.Length;
        int first = Math.Min(bytes.Length, _bytes.Length - tail);
        bytes[..first].CopyTo(_bytes.AsSpan(tail));
        bytes[first..].CopyTo(_bytes);
        Count += bytes.Length;
    }

    /// <summary>Drops the first bytes.</summary>
    internal void Drop(int count)
    {
        Count -= count;
        _head = Count == 0 ? 0 : (_head + count) % _bytes.Length;
    }
}
