using System.Buffers;

namespace OpenSandbox.Vmm;

/// <summary>Collects output up to a limit in a pooled array that grows with it.</summary>
/// <param name="limit">Bytes, at most.</param>
/// <param name="allow">Of so many bytes more, how many may be kept. Default: all of them.</param>
internal struct OutputBuffer(int limit, Func<int, int>? allow = null)
{
    private const int FirstSize = 4_096;
    private byte[]? _buffer;
    private int _length;

    internal bool Truncated { get; private set; }

    internal void Append(ReadOnlySpan<byte> bytes)
    {
        int room = Truncated ? 0 : limit - _length; // no output after a hole in it
        if (allow is not null && room > 0 && !bytes.IsEmpty)
        {
            room = allow(Math.Min(room, bytes.Length));
        }

        if (bytes.Length > room)
        {
            Truncated = true;
            bytes = bytes[..room];
        }

        if (bytes.IsEmpty)
        {
            return;
        }

        if (_buffer is null || _buffer.Length - _length < bytes.Length)
        {
            Grow(_length + bytes.Length);
        }

        bytes.CopyTo(_buffer.AsSpan(_length));
        _length += bytes.Length;
    }

    /// <summary>The collected bytes; the pooled array goes back.</summary>
    internal byte[] Take()
    {
        byte[] result = _buffer is null ? [] : _buffer.AsSpan(0, _length).ToArray();
        Dispose();
        return result;
    }

    /// <summary>Gives the pooled array back, cleared: it held a guest's output.</summary>
    internal void Dispose()
    {
        if (_buffer is byte[] rented)
        {
            _buffer = null;
            rented.AsSpan(0, _length).Clear();
            _length = 0;
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private void Grow(int needed)
    {
        long size = Math.Max(Math.Max(FirstSize, needed), Math.Min((_buffer?.Length ?? 0) * 2L, limit));
        byte[] larger = ArrayPool<byte>.Shared.Rent((int)size);
        if (_buffer is byte[] old)
        {
            old.AsSpan(0, _length).CopyTo(larger);
            old.AsSpan(0, _length).Clear();
            ArrayPool<byte>.Shared.Return(old);
        }

        _buffer = larger;
    }
}
