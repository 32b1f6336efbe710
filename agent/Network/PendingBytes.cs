namespace OpenSandbox.Agent;

/// <summary>Bytes that wait for a socket to take them. The stream's window bounds them. One thread's own.</summary>
internal sealed class PendingBytes
{
    private const int Smallest = 16 * 1024;

    private byte[] _bytes = [];
    private int _start;
    private int _end;

    /// <summary>Whether nothing waits.</summary>
    internal bool IsEmpty => _start == _end;

    /// <summary>Everything that waits.</summary>
    internal ReadOnlySpan<byte> All => _bytes.AsSpan(_start.._end);

    /// <summary>Adds bytes.</summary>
    internal void Add(ReadOnlySpan<byte> bytes)
    {
        int kept = _end - _start;
        if (_end + bytes.Length > _bytes.Length)
        {
            byte[] target = kept + bytes.Length <= _bytes.Length ? _bytes : new byte[Math.Max(Smallest, 2 * (kept + bytes.Length))];
            _bytes.AsSpan(_start, kept).CopyTo(target);
            _bytes = target;
            _start = 0;
            _end = kept;
        }

        bytes.CopyTo(_bytes.AsSpan(_end));
        _end += bytes.Length;
    }

    /// <summary>Drops the first bytes. Emptied, it gives its memory back.</summary>
    internal void Drop(int count)
    {
        _start += count;
        if (_start == _end)
        {
            _start = _end = 0;
            _bytes = [];
        }
    }
}
