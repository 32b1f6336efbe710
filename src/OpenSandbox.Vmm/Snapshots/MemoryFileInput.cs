using System.Buffers;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Compression;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>The stored bytes of a memory file, in order: reads, hashes and decompresses them.</summary>
internal sealed class MemoryFileInput : IDisposable
{
    private const int ReadSize = 1 << 20;

    private readonly SafeFileHandle _file;
    private readonly IncrementalHash? _hash;
    private readonly Lz4FrameDecompressor _decompressor = new(long.MaxValue);
    private readonly byte[] _buffer;
    private int _start;
    private int _end;
    private long _position;

    internal MemoryFileInput(SafeFileHandle file, long length, bool hashed)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        _file = file;
        Length = length;
        long actual = RandomAccess.GetLength(file);
        if (actual != length)
        {
            _decompressor.Dispose();
            throw new MemoryFileException($"it is {actual} bytes long where {length} were expected");
        }

        _hash = hashed ? IncrementalHash.CreateHash(HashAlgorithmName.SHA256) : null;
        _buffer = ArrayPool<byte>.Shared.Rent((int)Math.Clamp(length, 1, ReadSize));
    }

    /// <summary>How long the stored file is, bytes.</summary>
    internal long Length { get; }

    /// <summary>Content handed out so far, bytes.</summary>
    internal long ContentLength => _decompressor.ContentLength;

    /// <summary>Fills as much of the destination as there is content for; less than all of it only at the content's end.</summary>
    internal int Read(Span<byte> destination)
    {
        int written = 0;
        while (written < destination.Length && !_decompressor.Ended)
        {
            if (_start == _end)
            {
                Refill();
            }

            try
            {
                written += _decompressor.Decompress(_buffer.AsSpan(_start, _end - _start), destination[written..], out int consumed);
                _start += consumed;
            }
            catch (Lz4FormatException damaged)
            {
                throw new MemoryFileException(damaged.Message, damaged);
            }
        }

        return written;
    }

    /// <summary>Checks that nothing follows the frame. To be called when <see cref="Read"/> has found the end.</summary>
    /// <returns>The SHA-256 of the stored file; empty if it is not asked for.</returns>
    internal string Finish()
    {
        if (_start != _end || _position != Length)
        {
            throw new MemoryFileException($"{Length - _position + _end - _start} bytes follow its end");
        }

        return _hash is null ? "" : Convert.ToHexStringLower(_hash.GetHashAndReset());
    }

    public void Dispose()
    {
        _decompressor.Dispose();
        _hash?.Dispose();
        _buffer.AsSpan(0, (int)Math.Min(_buffer.Length, Length)).Clear(); // a guest's memory does not stay behind in the pool
        ArrayPool<byte>.Shared.Return(_buffer);
    }

    private void Refill()
    {
        int wanted = (int)Math.Min(_buffer.Length, Length - _position);
        if (wanted == 0)
        {
            throw new MemoryFileException($"it ends after {Length} bytes, in the middle of its content");
        }

        int count = RandomAccess.Read(_file, _buffer.AsSpan(0, wanted), _position);
        if (count == 0)
        {
            throw new MemoryFileException($"it was cut to {_position} bytes while it was read");
        }

        _hash?.AppendData(_buffer.AsSpan(0, count));
        _position += count;
        _start = 0;
        _end = count;
    }
}
