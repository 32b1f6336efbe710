using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Compression;

namespace OpenSandbox.Vmm.Snapshots;

/// <summary>
/// Writes a memory file from its beginning to its end, hashing what it stores. Holds about 2.5 MiB, whatever the guest's size. Not thread-safe.
/// </summary>
/// <remarks>Nothing is synced: <see cref="Finish"/> leaves that to the caller, for when the guest runs again.</remarks>
internal sealed class MemoryFileWriter : IDisposable
{
    private const int FlushSize = 1 << 20;

    private readonly SafeFileHandle _file;
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly Lz4FrameCompressor _compressor = new();
    private readonly byte[] _output = ArrayPool<byte>.Shared.Rent(FlushSize + Lz4FrameCompressor.MaxOutput);
    private int _pending;
    private int _used;
    private long _stored;
    private long _content;
    private MemoryFileRegion _region;
    private long _regionSize;
    private long _nextOffset;
    private long _zeroFirst;
    private long _zeroCount;
    private long _dataPages;
    private long _zeroPages;
    private uint _crc = MemoryFileFormat.CrcSeed;
    private bool _finished;
    private bool _disposed;

    /// <param name="file">An empty file, open for writing; stays the caller's.</param>
    /// <exception cref="HostPrerequisiteException">liblz4 is not installed.</exception>
    internal MemoryFileWriter(SafeFileHandle file)
    {
        _file = file;
        _pending = _compressor.Begin(_output);
        Span<byte> header = stackalloc byte[MemoryFileFormat.HeaderLength];
        header.Clear();
        MemoryFileFormat.Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], MemoryFileFormat.Version);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], MemoryFileFormat.PageSize);
        Compress(header);
    }

    /// <summary>Begins a region; what is added afterwards belongs to it.</summary>
    /// <param name="region">Each at most once, and in order.</param>
    /// <param name="size">Its size, bytes; a multiple of the page size.</param>
    internal void BeginRegion(MemoryFileRegion region, long size)
    {
        ThrowIfOver();
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual((int)region, (int)_region, nameof(region));
        ArgumentOutOfRangeException.ThrowIfGreaterThan((int)region, (int)MemoryFileRegion.Plugged, nameof(region));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        ArgumentOutOfRangeException.ThrowIfNotEqual(size % MemoryFileFormat.PageSize, 0, nameof(size));
        FlushZeros();
        WriteRecord(MemoryFileFormat.KindRegion, (uint)region, size, 0);
        _region = region;
        _regionSize = size;
        _nextOffset = 0;
    }

    /// <summary>Adds pages. Those that are all zero are recorded without their content.</summary>
    /// <param name="offset">Where they begin in the region, bytes; not before the end of what was added last.</param>
    /// <param name="pages">Whole pages; may change after the call. Large spans are faster than many small ones.</param>
    /// <exception cref="IOException">The file cannot be written, for instance because the disk is full. The file is to be thrown away.</exception>
    internal void Add(long offset, ReadOnlySpan<byte> pages)
    {
        ThrowIfOver();
        ArgumentOutOfRangeException.ThrowIfLessThan(offset, _nextOffset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(offset, _regionSize);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(pages.Length, _regionSize - offset, nameof(pages));
        ArgumentOutOfRangeException.ThrowIfNotEqual(offset % MemoryFileFormat.PageSize, 0, nameof(offset));
        ArgumentOutOfRangeException.ThrowIfNotEqual(pages.Length % MemoryFileFormat.PageSize, 0, nameof(pages));
        _nextOffset = offset + pages.Length;
        while (!pages.IsEmpty)
        {
            bool zero = IsZero(pages);
            int length = MemoryFileFormat.PageSize;
            while (length < pages.Length && IsZero(pages[length..]) == zero)
            {
                length += MemoryFileFormat.PageSize;
            }

            if (zero)
            {
                AddZeros(offset, length);
            }
            else
            {
                AddData(offset, pages[..length]);
            }

            offset += length;
            pages = pages[length..];
        }
    }

    /// <summary>Ends the file. Nothing can be added afterwards.</summary>
    /// <exception cref="IOException">The file cannot be written. It is to be thrown away.</exception>
    internal MemoryFileSummary Finish()
    {
        ThrowIfOver();
        FlushZeros();
        WriteRecord(MemoryFileFormat.KindEnd, _crc, _dataPages, _zeroPages);
        _finished = true;
        _pending += _compressor.End(_output.AsSpan(_pending));
        Flush();
        return new MemoryFileSummary(_stored, Convert.ToHexStringLower(_hash.GetHashAndReset()), _content, _dataPages, _zeroPages);
    }

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _compressor.Dispose();
        _hash.Dispose();
        _output.AsSpan(0, _used).Clear(); // a guest's memory does not stay behind in the pool
        ArrayPool<byte>.Shared.Return(_output);
    }

    private static bool IsZero(ReadOnlySpan<byte> pages) => !pages[..MemoryFileFormat.PageSize].ContainsAnyExcept((byte)0);

    private void AddZeros(long offset, int length)
    {
        long page = offset / MemoryFileFormat.PageSize;
        if (_zeroCount > 0 && _zeroFirst + _zeroCount != page)
        {
            FlushZeros();
        }

        if (_zeroCount == 0)
        {
            _zeroFirst = page;
        }

        _zeroCount += length / MemoryFileFormat.PageSize;
    }

    private void AddData(long offset, ReadOnlySpan<byte> pages)
    {
        FlushZeros();
        long count = pages.Length / MemoryFileFormat.PageSize;
        WriteRecord(MemoryFileFormat.KindData, 0, offset / MemoryFileFormat.PageSize, count);
        _dataPages += count;
        Compress(pages);
    }

    private void FlushZeros()
    {
        if (_zeroCount > 0)
        {
            WriteRecord(MemoryFileFormat.KindZero, 0, _zeroFirst, _zeroCount);
            _zeroPages += _zeroCount;
            _zeroCount = 0;
        }
    }

    private void WriteRecord(uint kind, uint region, long a, long b)
    {
        Span<byte> record = stackalloc byte[MemoryFileFormat.RecordLength];
        BinaryPrimitives.WriteUInt32LittleEndian(record, kind);
        BinaryPrimitives.WriteUInt32LittleEndian(record[4..], region);
        BinaryPrimitives.WriteInt64LittleEndian(record[8..], a);
        BinaryPrimitives.WriteInt64LittleEndian(record[16..], b);
        Compress(record);
    }

    private void Compress(ReadOnlySpan<byte> content)
    {
        _content += content.Length;
        while (!content.IsEmpty)
        {
            int length = Math.Min(content.Length, Lz4FrameCompressor.MaxInput);
            _crc = MemoryFileFormat.Crc(_crc, content[..length]);
            _pending += _compressor.Compress(content[..length], _output.AsSpan(_pending));
            content = content[length..];
            if (_pending >= FlushSize)
            {
                Flush();
            }
        }
    }

    private void Flush()
    {
        _used = Math.Max(_used, _pending);
        ReadOnlySpan<byte> output = _output.AsSpan(0, _pending);
        _hash.AppendData(output);
        RandomAccess.Write(_file, output, _stored);
        _stored += _pending;
        _pending = 0;
    }

    private void ThrowIfOver()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_finished)
        {
            throw new InvalidOperationException("the memory file has been finished");
        }
    }
}
