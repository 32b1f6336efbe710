using System.Buffers;

namespace OpenSandbox.VirtioSerial;

/// <summary>A rented buffer in a chain. What its offsets mean is up to the chain's owner.</summary>
internal sealed class DataSegment
{
    private byte[] _bytes = [];

    /// <summary>The buffer.</summary>
    internal byte[] Bytes => _bytes;

    /// <summary>First byte not yet read.</summary>
    internal int Start { get; set; }

    /// <summary>One past the last byte written.</summary>
    internal int End { get; set; }

    /// <summary>The next segment of the chain.</summary>
    internal DataSegment? Next { get; set; }

    /// <summary>Room behind <see cref="End"/>.</summary>
    internal int Room => _bytes.Length - End;

    /// <summary>Rents the buffer.</summary>
    internal void Rent(int size) => _bytes = ArrayPool<byte>.Shared.Rent(size);

    /// <summary>Returns the buffer, the used part cleared: it may hold secrets of a sandbox.</summary>
    internal void Return()
    {
        byte[] bytes = _bytes;
        int end = End;
        _bytes = [];
        Start = 0;
        End = 0;
        Next = null;
        if (bytes.Length > 0)
        {
            bytes.AsSpan(0, end).Clear();
            ArrayPool<byte>.Shared.Return(bytes);
        }
    }
}
