using System.Buffers;
using System.Security.Cryptography;

namespace OpenSandbox.Vmm.Archives;

/// <summary>The bytes of an archive, in order, hashed as they are consumed.</summary>
internal sealed class ArchiveInput(Stream source) : IDisposable
{
    private const int BufferSize = 1 << 20;

    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly byte[] _buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
    private int _start;
    private int _end;

    /// <summary>How many bytes have been consumed.</summary>
    internal long Position { get; private set; }

    /// <summary>What has been read and not consumed.</summary>
    internal ReadOnlySpan<byte> Buffered => _buffer.AsSpan(_start, _end - _start);

    /// <summary>Makes sure that this many bytes are buffered: at most a few KiB.</summary>
    /// <exception cref="ArchiveException">The archive ends before.</exception>
    internal async ValueTask NeedAsync(int length, CancellationToken cancellationToken)
    {
        while (_end - _start < length)
        {
            if (_start > 0)
            {
                Buffered.CopyTo(_buffer);
                (_start, _end) = (0, _end - _start);
            }

            int count = await source.ReadAsync(_buffer.AsMemory(_end), cancellationToken).ConfigureAwait(false);
            if (count == 0)
            {
                throw new ArchiveException($"it ends after {Position + _end - _start} bytes, in the middle");
            }

            _end += count;
        }
    }

    /// <summary>Consumes buffered bytes.</summary>
    internal void Consume(int length)
    {
        _hash.AppendData(_buffer, _start, length);
        _start += length;
        Position += length;
    }

    /// <summary>Reads bytes of a known length that the caller has checked.</summary>
    internal async ValueTask<byte[]> ReadAsync(int length, CancellationToken cancellationToken)
    {
        byte[] bytes = new byte[length];
        for (int at = 0; at < length;)
        {
            await NeedAsync(1, cancellationToken).ConfigureAwait(false);
            int count = Math.Min(length - at, _end - _start);
            Buffered[..count].CopyTo(bytes.AsSpan(at));
            Consume(count);
            at += count;
        }

        return bytes;
    }

    /// <summary>The hash of everything consumed.</summary>
    internal byte[] Hash() => _hash.GetCurrentHash();

    /// <summary>Whether nothing follows.</summary>
    internal async ValueTask<bool> IsAtEndAsync(CancellationToken cancellationToken) =>
        _start == _end && await source.ReadAsync(_buffer.AsMemory(0, 1), cancellationToken).ConfigureAwait(false) == 0;

    public void Dispose()
    {
        _hash.Dispose();
        ArrayPool<byte>.Shared.Return(_buffer, clearArray: true); // a guest's content does not stay behind in the pool
    }
}
